"""Somebody else was faster: the scheduler looks again, and does what is right by then."""

import pytest
from modelyard_contracts.deployments import Claim
from modelyard_contracts.events import (
    InstanceRemoved,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceScheduled,
    InstanceStopping,
    InstanceUnschedulable,
    WorkerLabelsChanged,
    WorkerMaintenanceChanged,
    WorkerRecovered,
)
from modelyard_eventlog.log import Conflict
from modelyard_scheduler.handlers.deciding import TRIES
from modelyard_scheduler_cluster import Cluster, OvertakenLog
from modelyard_scheduler_world import (
    GIB,
    deployment,
    failed,
    lost,
    requested,
    reserved,
    running,
    scaled,
    silent,
    starting,
    worker,
)


@pytest.fixture
def log() -> OvertakenLog:
    return OvertakenLog()


@pytest.fixture
def cluster(log: OvertakenLog) -> Cluster:
    return Cluster(log)


async def test_a_request_that_another_made_first_is_not_made_again(
    cluster: Cluster, log: OvertakenLog
) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        log.first = [requested(1)]
        await scheduler.instances.reconcile(3)
    assert log.conflicts == 1
    assert len(await cluster.facts(InstanceRequested)) == 1


async def test_an_id_that_another_took_first_is_not_taken_again(cluster: Cluster, log: OvertakenLog) -> None:
    await cluster.tell(*worker(), deployment(3), deployment(4))
    async with cluster.scheduler() as scheduler:
        log.first = [requested(1, deployment_id=4)]
        await scheduler.instances.reconcile(3)
    taken = [(event.instance_id, event.deployment_id) for event in await cluster.facts(InstanceRequested)]
    assert taken == [(1, 4), (2, 3)]


async def test_room_that_another_took_first_is_not_taken_again(cluster: Cluster, log: OvertakenLog) -> None:
    await cluster.tell(
        *worker(1, ram_bytes=2 * GIB), *worker(2, ram_bytes=2 * GIB), deployment(), requested()
    )
    async with cluster.scheduler() as scheduler:
        log.first = [reserved(4, worker_id=1, claim=Claim(ram_bytes=GIB))]
        await scheduler.placement.place([5])
    assert log.conflicts == 1
    assert [event.worker_id for event in await cluster.facts(InstanceScheduled)] == [2]


async def test_a_worker_that_is_closed_in_the_last_moment_gets_nothing(
    cluster: Cluster, log: OvertakenLog
) -> None:
    await cluster.tell(*worker(), deployment(), requested())
    async with cluster.scheduler() as scheduler:
        log.first = [WorkerMaintenanceChanged(worker_id=1, enabled=True, message=None)]
        await scheduler.placement.place([5])
    assert await cluster.facts(InstanceScheduled) == []
    [waiting] = await cluster.facts(InstanceUnschedulable)
    assert "maintenance" in waiting.message
    assert cluster.outside.wants == {}


async def test_a_scale_down_that_was_taken_back_in_the_last_moment_stops_nothing(
    cluster: Cluster, log: OvertakenLog
) -> None:
    await cluster.tell(*worker(), deployment(replicas=2))
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(scaled(1))
        await scheduler.decider.feed.catch_up()
        log.first = [scaled(2), starting(ident=2)]
        await scheduler.instances.reconcile(3)
    assert log.conflicts == 1
    assert await cluster.facts(InstanceStopping) == []
    assert {want.state for want in cluster.outside.wants.values()} == {"running"}


async def test_a_scale_down_stops_the_one_that_is_worst_by_then(cluster: Cluster, log: OvertakenLog) -> None:
    await cluster.tell(*worker(), deployment(replicas=2))
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), running(ident=1), scaled(1))
        await scheduler.decider.feed.catch_up()
        log.first = [failed(ident=1), starting(ident=2), running(ident=2)]
        await scheduler.instances.reconcile(3)
    assert [event.instance_id for event in await cluster.facts(InstanceStopping)] == [1]


async def test_a_worker_that_comes_back_in_the_last_moment_keeps_its_instances(
    cluster: Cluster, log: OvertakenLog
) -> None:
    await cluster.tell(*worker(1), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), running(ident=1), silent(1), lost(1))
        await scheduler.decider.feed.catch_up()
        log.first = [WorkerRecovered(worker_id=1)]
        await scheduler.instances.give_up(1)
    assert log.conflicts == 1
    assert await cluster.facts(InstanceRemoved) == []
    assert cluster.outside.wants[1, 1].state == "running"


async def test_a_restart_that_another_scheduled_first_is_not_scheduled_again(
    cluster: Cluster, log: OvertakenLog
) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), failed(ident=1))
        await scheduler.decider.feed.catch_up()
        theirs = InstanceRestartScheduled(
            instance_id=1, deployment_id=3, attempt=1, streak=1, delay_s=1, restart_at=cluster.clock()
        )
        log.first = [theirs]
        await scheduler.restarts.restart(1)
    assert log.conflicts == 1
    assert await cluster.facts(InstanceRestartScheduled) == [theirs]


async def test_who_is_always_overtaken_gives_up_and_says_so(cluster: Cluster, log: OvertakenLog) -> None:
    await cluster.tell(*worker(), deployment(), requested())
    async with cluster.scheduler() as scheduler:
        log.always = WorkerLabelsChanged(worker_id=1, labels={})
        with pytest.raises(Conflict):
            await scheduler.placement.place([5])
    assert log.conflicts == TRIES
    assert await cluster.facts(InstanceScheduled) == []
