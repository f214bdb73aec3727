"""What the scheduler states about who is there, hearing heartbeats and looking every second."""

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest
from modelyard_contracts.events import WorkerLost, WorkerRecovered, WorkerSilent
from modelyard_contracts.messages import Heartbeat
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_scheduler.subscribers.reacting import Scheduler
from modelyard_scheduler_cluster import POLICY, Cluster
from modelyard_scheduler_world import ready, worker

FLEET = 10
LIMIT = 3
"""What the policy's share is of such a fleet."""


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(InMemoryEventLog())


@pytest.fixture
async def scheduler(cluster: Cluster) -> AsyncIterator[Scheduler]:
    for ident in range(1, FLEET + 1):
        await cluster.tell(*worker(ident))
    async with cluster.scheduler() as scheduler:
        yield scheduler


async def seconds_pass(
    cluster: Cluster, scheduler: Scheduler, seconds: float, *, beating: Collection[int] = ()
) -> None:
    """Every second those workers beat, and the scheduler looks."""
    for _ in range(int(seconds)):
        cluster.clock.forward(1)
        for ident in beating:
            await scheduler.on_heartbeat(
                ident, Heartbeat(worker_id=ident, session="s1", sent_at=cluster.clock())
            )
        await scheduler.look()


def others(*silent: int) -> set[int]:
    return set(range(1, FLEET + 1)) - set(silent)


async def test_a_worker_is_silent_then_lost_then_back_each_stated_once(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    await seconds_pass(cluster, scheduler, 2 * POLICY.grace_s, beating=others(7))
    await seconds_pass(cluster, scheduler, 5, beating=others())
    told = [
        (event.type, event.data.worker_id)
        for event in await cluster.story()
        if isinstance(event.data, (WorkerSilent, WorkerLost, WorkerRecovered))
    ]
    assert told == [("WorkerSilent", 7), ("WorkerLost", 7), ("WorkerRecovered", 7)]
    [silent], [lost] = await cluster.facts(WorkerSilent), await cluster.facts(WorkerLost)
    assert silent.last_seen == lost.last_seen
    times = {event.type: event.time for event in await cluster.story()}
    away = {kind: (times[kind] - silent.last_seen).total_seconds() for kind in ("WorkerSilent", "WorkerLost")}
    assert away == {"WorkerSilent": POLICY.silent_after_s, "WorkerLost": POLICY.grace_s}


async def test_in_a_storm_no_more_than_the_share_is_ever_given_up(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    await seconds_pass(cluster, scheduler, 5 * POLICY.grace_s)
    assert len(await cluster.facts(WorkerSilent)) == FLEET
    assert [event.worker_id for event in await cluster.facts(WorkerLost)] == [1, 2, 3]
    assert len(await cluster.facts(WorkerLost)) == LIMIT


async def test_a_place_among_the_lost_becomes_free_when_one_of_them_is_back(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    await seconds_pass(cluster, scheduler, 2 * POLICY.grace_s)
    await seconds_pass(cluster, scheduler, 3, beating=[2])
    assert [event.worker_id for event in await cluster.facts(WorkerRecovered)] == [2]
    assert [event.worker_id for event in await cluster.facts(WorkerLost)] == [1, 2, 3, 4]


async def test_a_storm_that_passes_leaves_the_fleet_as_it_was(cluster: Cluster, scheduler: Scheduler) -> None:
    await seconds_pass(cluster, scheduler, POLICY.grace_s - 1)
    await seconds_pass(cluster, scheduler, POLICY.grace_s, beating=others())
    assert len(await cluster.facts(WorkerRecovered)) == FLEET
    assert await cluster.facts(WorkerLost) == []


async def test_who_cannot_hear_blames_nobody(cluster: Cluster, scheduler: Scheduler) -> None:
    cluster.outside.connected = False
    await seconds_pass(cluster, scheduler, 3 * POLICY.grace_s)
    cluster.outside.connected = True
    await seconds_pass(cluster, scheduler, POLICY.silent_after_s - 1)
    assert await cluster.facts(WorkerSilent) == []


async def test_an_agent_that_starts_anew_within_the_grace_is_no_longer_silent(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    await seconds_pass(cluster, scheduler, POLICY.grace_s - 1, beating=others(7))
    await cluster.tell(ready(7, session="s2"))
    await scheduler.decider.feed.catch_up()
    await seconds_pass(cluster, scheduler, POLICY.silent_after_s - 1, beating=others(7))
    assert len(await cluster.facts(WorkerSilent)) == 1
    assert await cluster.facts(WorkerLost) == []


async def test_two_schedulers_state_each_absence_once(cluster: Cluster, scheduler: Scheduler) -> None:
    async with cluster.scheduler() as other:
        for _ in range(int(2 * POLICY.grace_s)):
            cluster.clock.forward(1)
            await scheduler.look()
            await other.look()
    assert len(await cluster.facts(WorkerSilent)) == FLEET
    assert len(await cluster.facts(WorkerLost)) == LIMIT


async def test_two_schedulers_that_heard_the_last_beats_in_another_order_give_up_no_more_than_the_share(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    async with cluster.scheduler() as other:
        await asyncio.gather(scheduler.look(), other.look())
        for ident in range(1, FLEET + 1):
            for hearing, who in ((scheduler, ident), (other, FLEET + 1 - ident)):
                beat = Heartbeat(worker_id=who, session="s1", sent_at=cluster.clock())
                await hearing.on_heartbeat(who, beat)
            cluster.clock.forward(0.01)
        for _ in range(int(2 * POLICY.grace_s)):
            cluster.clock.forward(1)
            await asyncio.gather(scheduler.look(), other.look())
    assert len(await cluster.facts(WorkerLost)) == LIMIT
