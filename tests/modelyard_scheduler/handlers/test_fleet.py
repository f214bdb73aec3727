"""What the scheduler states about who is there, hearing heartbeats and looking every second."""

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest
from modelyard_contracts.events import (
    FleetStormDetected,
    FleetStormEnded,
    WorkerDiskRoomChanged,
    WorkerForeignMemoryChanged,
    WorkerLost,
    WorkerRecovered,
    WorkerSilent,
)
from modelyard_contracts.messages import Heartbeat
from modelyard_contracts.telemetry import DeviceUse, DiskUse, Telemetry
from modelyard_scheduler.subscribers.reacting import Scheduler
from modelyard_scheduler_cluster import POLICY, Cluster
from modelyard_scheduler_world import GIB, ready, worker

FLEET = 10
LIMIT = 3
"""What the policy's share is of such a fleet."""


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
            await scheduler.on_heartbeat(Heartbeat(worker_id=ident, session="s1", sent_at=cluster.clock()))
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


async def test_in_a_storm_nobody_is_given_up_and_it_is_told_of_once(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    await seconds_pass(cluster, scheduler, 5 * POLICY.grace_s)
    assert len(await cluster.facts(WorkerSilent)) == FLEET
    assert await cluster.facts(WorkerLost) == []
    [storm] = await cluster.facts(FleetStormDetected)
    assert storm.silent_workers == tuple(range(1, FLEET + 1))
    assert await cluster.facts(FleetStormEnded) == []


async def test_who_is_still_silent_after_a_storm_gets_the_whole_grace_anew(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    await seconds_pass(cluster, scheduler, 2 * POLICY.grace_s)
    await seconds_pass(cluster, scheduler, POLICY.grace_s - 1, beating=others(4, 5))
    [over] = await cluster.facts(FleetStormEnded)
    assert over.silent_workers == (4, 5)
    assert await cluster.facts(WorkerLost) == []
    await seconds_pass(cluster, scheduler, 3, beating=others(4, 5))
    assert [event.worker_id for event in await cluster.facts(WorkerLost)] == [4, 5]


async def test_workers_that_fall_silent_one_after_the_other_are_given_up_to_the_share(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    for first in (1, 3, 5):
        beating = others(*range(1, first + 2))
        await seconds_pass(cluster, scheduler, 2 * POLICY.grace_s, beating=beating)
    assert [event.worker_id for event in await cluster.facts(WorkerLost)] == [1, 2, 3]
    assert await cluster.facts(FleetStormDetected) == []
    await seconds_pass(cluster, scheduler, 3, beating=others(1, 3, 4, 5, 6))
    assert [event.worker_id for event in await cluster.facts(WorkerLost)] == [1, 2, 3, 4]


async def test_a_storm_that_passes_leaves_the_fleet_as_it_was(cluster: Cluster, scheduler: Scheduler) -> None:
    await seconds_pass(cluster, scheduler, POLICY.grace_s - 1)
    await seconds_pass(cluster, scheduler, POLICY.grace_s, beating=others())
    assert len(await cluster.facts(WorkerRecovered)) == FLEET
    assert len(await cluster.facts(FleetStormEnded)) == 1
    assert await cluster.facts(WorkerLost) == []


async def test_what_other_processes_hold_is_stated_when_it_matters(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    for step, held in enumerate((0, GIB // 4, 8 * GIB, 8 * GIB + GIB // 4, 12 * GIB, 0)):
        use = DeviceUse(device="cuda:0", memory_used_bytes=20 * GIB, foreign_bytes=held)
        now = cluster.clock()
        telemetry = Telemetry(read_at=now, cpu_percent=1, memory_used_bytes=1, devices=(use,))
        beat = Heartbeat(worker_id=1, session="s1", sent_at=now, telemetry=telemetry)
        await scheduler.on_heartbeat(beat)
        cluster.clock.forward(1 if step == 2 else 60)
    stated = [event.vram_bytes for event in await cluster.facts(WorkerForeignMemoryChanged)]
    assert stated == [{"cuda:0": 8 * GIB}, {"cuda:0": 12 * GIB}, {}]
    assert scheduler.decider.picture.workers[1].foreign == {}


async def test_the_room_on_a_disk_is_stated_when_it_matters(cluster: Cluster, scheduler: Scheduler) -> None:
    for step, room in enumerate((90, 90.5, 50, 52, 52, 51.9)):
        now = cluster.clock()
        disk = DiskUse(used_bytes=0, room_bytes=int(room * GIB))
        telemetry = Telemetry(read_at=now, cpu_percent=1, memory_used_bytes=1, disk=disk)
        await scheduler.on_heartbeat(Heartbeat(worker_id=1, session="s1", sent_at=now, telemetry=telemetry))
        cluster.clock.forward(1 if step == 2 else 60)
    stated = [event.room_bytes for event in await cluster.facts(WorkerDiskRoomChanged)]
    assert stated == [90 * GIB, 50 * GIB, 52 * GIB]
    room_of = {room.worker.ident: room.worker for room in scheduler.decider.picture.rooms.everyone()}
    assert room_of[1].disk_free_bytes == 52 * GIB
    assert room_of[2].disk_free_bytes is None


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


async def test_two_schedulers_state_each_absence_and_a_storm_once(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    async with cluster.scheduler() as other:
        for _ in range(int(2 * POLICY.grace_s)):
            cluster.clock.forward(1)
            await scheduler.look()
            await other.look()
    assert len(await cluster.facts(WorkerSilent)) == FLEET
    assert len(await cluster.facts(FleetStormDetected)) == 1


async def test_two_schedulers_that_heard_the_last_beats_in_another_order_give_up_no_more_than_the_share(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    async with cluster.scheduler() as other:
        await asyncio.gather(scheduler.look(), other.look())
        for beating in (others(1, 2), others(1, 2, 3, 4)):
            for _ in range(int(2 * POLICY.grace_s)):
                cluster.clock.forward(1)
                beats = [Heartbeat(worker_id=n, session="s1", sent_at=cluster.clock()) for n in beating]
                for one, another in zip(beats, reversed(beats), strict=True):
                    await scheduler.on_heartbeat(one)
                    await other.on_heartbeat(another)
                await asyncio.gather(scheduler.look(), other.look())
    assert len(await cluster.facts(WorkerLost)) == LIMIT
