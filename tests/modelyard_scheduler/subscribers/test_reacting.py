"""The reaction map at work: what follows from what, with nobody else to ask."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from modelyard_contracts.base import Event
from modelyard_contracts.events import (
    InstanceRemoved,
    InstanceScheduled,
    WorkerDeleted,
    WorkerForeignMemoryChanged,
    WorkerMaintenanceChanged,
    WorkerRecovered,
    WorkerSilent,
)
from modelyard_eventlog.log import EventLog
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_placement.demand import PathSaid
from modelyard_scheduler.subscribers.reacting import Scheduler
from modelyard_scheduler_cluster import POLICY, Cluster, Outside
from modelyard_scheduler_gpus import GPU_SPEC, gpu_worker, known
from modelyard_scheduler_world import (
    GIB,
    SLOT,
    SPEC,
    deleted,
    deployment,
    failed,
    inventory,
    lost,
    requested,
    running,
    scaled,
    silent,
    starting,
    stopped,
    worker,
)


class Slow(Outside):
    """Workers take their time to answer, once `held` is made."""

    held: asyncio.Event | None = None
    asked: asyncio.Event

    async def ask(self, path: str, worker_ids: Collection[int]) -> Mapping[int, PathSaid]:
        if self.held is not None:
            self.asked.set()
            await self.held.wait()
        return await super().ask(path, worker_ids)


@pytest.fixture
def outside() -> Slow:
    return Slow()


@pytest.fixture
def cluster(outside: Slow) -> Cluster:
    return Cluster(InMemoryEventLog(), outside)


@dataclass
class Reacting:
    """A scheduler to which every event comes, in order."""

    scheduler: Scheduler
    handled: int = 0

    async def run(self, log: EventLog) -> None:
        async for batch in log.follow(0):
            await self.scheduler.decider.feed.wait_for(batch[-1].seq)
            await self.scheduler.react(event.data for event in batch)
            self.handled = batch[-1].seq

    async def settled(self) -> None:
        """Until nothing follows any more from what happened."""
        async with asyncio.timeout(20):
            while self.handled < (await self.scheduler.decider.log.position()).last_seq:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def reacting(cluster: Cluster) -> AsyncIterator[Reacting]:
    async with cluster.scheduler() as scheduler:
        found = Reacting(scheduler)
        at_work = asyncio.create_task(found.run(cluster.log))
        try:
            await found.settled()
            yield found
        finally:
            at_work.cancel()
            await asyncio.gather(at_work, return_exceptions=True)


async def test_a_wish_becomes_instances_and_its_end_removes_them(cluster: Cluster) -> None:
    await cluster.tell(*worker(1), *worker(2), deployment(replicas=2))
    async with reacting(cluster) as found:
        assert set(cluster.outside.wants) == {(1, 1), (2, 2)}
        await cluster.tell(deleted())
        await found.settled()
        assert {want.state for want in cluster.outside.wants.values()} == {"absent"}
        await cluster.tell(stopped(ident=1, worker_id=1), stopped(ident=2, worker_id=2))
        await found.settled()
    assert cluster.outside.wants == {}
    assert len(await cluster.facts(InstanceRemoved)) == 2


async def test_what_waits_goes_as_soon_as_there_is_room(cluster: Cluster) -> None:
    await cluster.tell(*worker(ram_bytes=SLOT), deployment(replicas=2))
    async with reacting(cluster) as found:
        assert set(cluster.outside.wants) == {(1, 1)}
        await cluster.tell(inventory(ram_bytes=2 * SLOT))
        await found.settled()
        assert set(cluster.outside.wants) == {(1, 1), (1, 2)}


async def test_memory_that_other_processes_give_back_is_taken_at_once(cluster: Cluster) -> None:
    spec = GPU_SPEC.model_copy(update={"backend_parameters": ("--max-model-len=4096",)})
    held = WorkerForeignMemoryChanged(worker_id=1, vram_bytes={"cuda:0": 70 * GIB})
    await cluster.tell(known(15 * GIB, spec), *gpu_worker(1, 80), held, deployment(spec=spec))
    async with reacting(cluster) as found:
        assert cluster.outside.wants == {}, "nothing is placed onto memory that others hold"
        await cluster.tell(WorkerForeignMemoryChanged(worker_id=1))
        await found.settled()
        assert set(cluster.outside.wants) == {(1, 1)}


async def test_the_room_of_what_was_stopped_is_taken_by_what_waits(cluster: Cluster) -> None:
    await cluster.tell(*worker(ram_bytes=SLOT), deployment(3), deployment(4))
    async with reacting(cluster) as found:
        await cluster.tell(scaled(0, 3))
        await found.settled()
        await cluster.tell(stopped(ident=1))
        await found.settled()
        assert set(cluster.outside.wants) == {(1, 2)}


async def test_the_instances_of_a_lost_worker_are_replaced_and_not_brought_back_by_its_return(
    cluster: Cluster,
) -> None:
    await cluster.tell(*worker(1), deployment())
    async with reacting(cluster) as found:
        await cluster.tell(starting(ident=1), running(ident=1), *worker(2), silent(1))
        await found.settled()
        assert set(cluster.outside.wants) == {(1, 1)}, "silence alone moves nothing"
        await cluster.tell(lost(1))
        await found.settled()
        await cluster.tell(WorkerRecovered(worker_id=1))
        await found.settled()
    assert [(event.instance_id, event.reason) for event in await cluster.facts(InstanceRemoved)] == [
        (1, "worker_lost")
    ]
    told = {key: want.state for key, want in cluster.outside.wants.items()}
    assert told == {(1, 1): "absent", (2, 2): "running"}


async def test_the_instances_of_a_deleted_worker_are_replaced(cluster: Cluster) -> None:
    await cluster.tell(*worker(1), deployment())
    async with reacting(cluster) as found:
        await cluster.tell(*worker(2), WorkerDeleted(worker_id=1, name="w1"))
        await found.settled()
    assert [event.reason for event in await cluster.facts(InstanceRemoved)] == ["worker_deleted"]
    assert [event.worker_id for event in await cluster.facts(InstanceScheduled)] == [1, 2]


async def test_a_drained_worker_is_emptied_one_instance_at_a_time_each_after_its_replacement_runs(
    cluster: Cluster,
) -> None:
    await cluster.tell(*worker(1), deployment(replicas=2))
    async with reacting(cluster) as found:
        for ident in (1, 2):
            await cluster.tell(starting(ident=ident), running(ident=ident))
        await cluster.tell(*worker(2), WorkerMaintenanceChanged(worker_id=1, enabled=True, drain=True))
        await found.settled()
        for old, new in ((2, 3), (1, 4)):
            told = {key: want.state for key, want in cluster.outside.wants.items()}
            assert told[1, old] == "running", "it serves until its replacement does"
            assert told[2, new] == "running"
            await cluster.tell(starting(ident=new, worker_id=2), running(ident=new, worker_id=2))
            await found.settled()
            assert cluster.outside.wants[1, old].state == "absent"
            await cluster.tell(stopped(ident=old))
            await found.settled()
    assert set(cluster.outside.wants) == {(2, 3), (2, 4)}
    assert [event.reason for event in await cluster.facts(InstanceRemoved)] == ["drained", "drained"]


async def test_what_failed_for_good_gives_its_room_back_after_a_grace(cluster: Cluster) -> None:
    spec = SPEC.model_copy(update={"restart_on_error": False})
    await cluster.tell(*worker(ram_bytes=SLOT), deployment(3, spec=spec), deployment(4))
    async with cluster.scheduler() as scheduler:
        await scheduler.sweep()
        await cluster.tell(starting(ident=1), failed(ident=1))
        await scheduler.decider.feed.catch_up()
        await scheduler.sweep()
        assert [event.instance_id for event in await cluster.facts(InstanceScheduled)] == [1]
        cluster.clock.forward(scheduler.failed_grace_s)
        await scheduler.sweep()
    assert [event.instance_id for event in await cluster.facts(InstanceScheduled)] == [1, 2]
    assert await cluster.facts(InstanceRemoved) == [], "it is there to be looked at"


async def test_a_failure_is_followed_by_a_restart_when_its_timer_fires(cluster: Cluster) -> None:
    await cluster.tell(*worker(), deployment())
    async with reacting(cluster) as found:
        await cluster.tell(starting(ident=1), failed(ident=1))
        await found.settled()
        [(name, due)] = cluster.outside.alarms.items()
        assert due > cluster.clock()
        assert cluster.outside.wants[1, 1].attempt == 0
        await found.scheduler.on_timer(name)
        assert cluster.outside.wants[1, 1].attempt == 1


@pytest.mark.parametrize("name", ["restart", "restart.1", "restart.1.x", "restart.9.1", "other.1.1", ""])
async def test_a_timer_that_nobody_set_starts_nothing(cluster: Cluster, name: str) -> None:
    await cluster.tell(*worker(), deployment())
    async with reacting(cluster) as found:
        await cluster.tell(starting(ident=1), failed(ident=1))
        await found.settled()
        await found.scheduler.on_timer(name)
    assert cluster.outside.wants[1, 1].attempt == 0


async def test_a_sweep_alone_does_all_that_reactions_do(cluster: Cluster) -> None:
    """Reactions only make it faster: should every message be lost, nothing is."""
    await cluster.tell(*worker(1), deployment(replicas=2))
    async with cluster.scheduler() as scheduler:

        async def swept(*told: Event) -> dict[tuple[int, int], tuple[str, int]]:
            await cluster.tell(*told)
            await scheduler.decider.feed.catch_up()
            # what a sweep brings about may ask for something that the next one does
            await scheduler.sweep()
            await scheduler.sweep()
            return {key: (want.state, want.attempt) for key, want in cluster.outside.wants.items()}

        assert await swept() == {(1, 1): ("running", 0), (1, 2): ("running", 0)}
        await swept(starting(ident=1), failed(ident=1))
        cluster.clock.forward(3600)
        assert await swept() == {(1, 1): ("running", 1), (1, 2): ("running", 0)}
        assert await swept(scaled(1)) == {(1, 1): ("absent", 1), (1, 2): ("running", 0)}
        assert await swept(stopped(1, ident=1)) == {(1, 2): ("running", 0)}
        await swept(*worker(2), silent(1), lost(1))
        assert await swept() == {(1, 2): ("absent", 0), (2, 3): ("running", 0)}
        before = (await cluster.log.position()).last_seq
        await scheduler.sweep()
        assert (await cluster.log.position()).last_seq == before, "a sweep that finds no gap states nothing"


async def test_workers_that_do_not_answer_hold_up_no_look_at_who_is_there(
    cluster: Cluster, outside: Slow
) -> None:
    """A frozen worker must fall silent although placement waits for its answers."""
    outside.asked, outside.held = asyncio.Event(), asyncio.Event()
    await cluster.tell(*worker(), deployment(), requested(1))
    async with cluster.scheduler() as scheduler:
        placing = asyncio.create_task(scheduler.sweep())
        await outside.asked.wait()
        async with asyncio.timeout(5):
            for _ in range(int(POLICY.silent_after_s) + 1):
                await scheduler.look()
                cluster.clock.forward(1)
        assert len(await cluster.facts(WorkerSilent)) == 1
        outside.held.set()
        await placing
    assert await cluster.facts(InstanceScheduled) == []
