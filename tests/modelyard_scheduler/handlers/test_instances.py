"""What the scheduler states and tells about instances."""

from datetime import timedelta

from modelyard_contracts.events import (
    InstanceRemoved,
    InstanceRequested,
    InstanceScheduled,
    InstanceStopping,
    InstanceUnschedulable,
    WorkerDevicesReleased,
    WorkerDevicesReserved,
)
from modelyard_scheduler_cluster import Cluster
from modelyard_scheduler_world import (
    SLOT,
    deleted,
    deletion_requested,
    deployment,
    lost,
    running,
    scaled,
    silent,
    starting,
    stopped,
    worker,
)


async def test_a_deployment_gets_its_instances_each_placed_with_its_room_in_one_batch(
    cluster: Cluster,
) -> None:
    await cluster.tell(*worker(1), *worker(2), deployment(replicas=2))
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
    placed = await cluster.facts(InstanceScheduled)
    assert [event.worker_id for event in placed] == [1, 2]
    kinds = [event.type for event in await cluster.story()][-6:]
    assert kinds == ["InstanceRequested"] * 2 + ["WorkerDevicesReserved", "InstanceScheduled"] * 2
    assert {(want.worker_id, want.state) for want in cluster.outside.wants.values()} == {
        (1, "running"),
        (2, "running"),
    }


async def test_reconciling_again_states_nothing(cluster: Cluster) -> None:
    await cluster.tell(*worker(), deployment(replicas=2))
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        before = (await cluster.log.position()).last_seq
        await scheduler.instances.reconcile(3)
        await scheduler.placement.place_waiting()
    assert (await cluster.log.position()).last_seq == before


async def test_what_does_not_fit_waits_with_its_reason_stated_once_and_goes_when_there_is_room(
    cluster: Cluster,
) -> None:
    await cluster.tell(*worker(ram_bytes=SLOT // 2), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await scheduler.placement.place_waiting()
        [waiting] = await cluster.facts(InstanceUnschedulable)
        assert "GiB" in waiting.message
        await cluster.tell(*worker(2))
        await scheduler.decider.feed.catch_up()
        await scheduler.placement.place_waiting()
    [placed] = await cluster.facts(InstanceScheduled)
    assert placed.worker_id == 2


async def test_scaling_down_stops_and_gives_the_room_back_when_the_agent_says_it_is_gone(
    cluster: Cluster,
) -> None:
    await cluster.tell(*worker(), deployment(replicas=2))
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), running(ident=1), scaled(1))
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.reconcile(3)
        [stopping] = await cluster.facts(InstanceStopping)
        assert stopping.instance_id == 2
        assert cluster.outside.wants[1, 2].state == "absent"
        await cluster.tell(stopped(ident=2))
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.remove_stopped([2])
    assert [event.instance_id for event in await cluster.facts(WorkerDevicesReleased)] == [2]
    assert (1, 2) not in cluster.outside.wants


async def test_a_deleted_instance_is_replaced_and_a_deleted_deployment_leaves_none(
    cluster: Cluster,
) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(deletion_requested(1))
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.reconcile(3)
        assert [event.instance_id for event in await cluster.facts(InstanceRequested)] == [1, 2]
        await cluster.tell(stopped(ident=1), deleted())
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.remove_stopped([1])
        await scheduler.instances.reconcile(3)
        await cluster.tell(stopped(ident=2))
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.remove_stopped([2])
        assert [event.instance_id for event in await cluster.facts(InstanceRemoved)] == [1, 2]
        assert scheduler.decider.picture.workers[1].reservations == {}


async def test_a_lost_workers_instances_are_replaced_elsewhere_and_stopped_should_it_come_back(
    cluster: Cluster,
) -> None:
    await cluster.tell(*worker(1), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(*worker(2), starting(ident=1), running(ident=1), silent(1), lost(1))
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.give_up(1)
        await scheduler.instances.reconcile(3)
    [removed] = await cluster.facts(InstanceRemoved)
    assert (removed.instance_id, removed.reason) == (1, "worker_lost")
    assert [event.worker_id for event in await cluster.facts(InstanceScheduled)] == [1, 2]
    assert cluster.outside.wants[1, 1].state == "absent"
    assert cluster.outside.wants[2, 2].state == "running"


async def test_every_statement_says_what_it_was_decided_on(cluster: Cluster) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
    for event in (await cluster.story())[-3:]:
        assert (event.source, event.actor, event.correlation_id) == (
            "modelyard/scheduler",
            "system/scheduler",
            "story",
        )
    [reserved] = await cluster.facts(WorkerDevicesReserved)
    assert reserved.claim.ram_bytes == SLOT
    assert cluster.clock() - (await cluster.story())[-1].time < timedelta(seconds=1)


async def test_what_was_never_placed_is_removed_at_once(cluster: Cluster) -> None:
    await cluster.tell(deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(scaled(0))
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.reconcile(3)
    assert await cluster.facts(InstanceStopping) == []
    [removed] = await cluster.facts(InstanceRemoved)
    assert removed.worker_id is None
    assert cluster.outside.wants == {}


async def test_what_was_stopping_on_a_worker_that_is_lost_is_removed_and_gives_its_room_back(
    cluster: Cluster,
) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(scaled(0))
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.reconcile(3)
        await cluster.tell(silent(), lost())
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.give_up(1)
        assert scheduler.decider.picture.workers[1].reservations == {}
    assert len(await cluster.facts(InstanceRemoved)) == 1
    assert cluster.outside.wants[1, 1].state == "absent"


async def test_a_silent_workers_instances_are_neither_given_up_nor_replaced(cluster: Cluster) -> None:
    await cluster.tell(*worker(1), *worker(2), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), running(ident=1), silent(1))
        await scheduler.decider.feed.catch_up()
        before = (await cluster.log.position()).last_seq
        await scheduler.instances.give_up(1)
        await scheduler.instances.reconcile(3)
    assert (await cluster.log.position()).last_seq == before


async def test_a_worker_without_the_model_is_passed_over_and_says_so_if_none_has_it(cluster: Cluster) -> None:
    await cluster.tell(*worker(1), *worker(2), deployment(replicas=2))
    cluster.outside.lacking = {1}
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        assert [event.worker_id for event in await cluster.facts(InstanceScheduled)] == [2, 2]
        cluster.outside.lacking = {1, 2}
        await cluster.tell(scaled(3))
        await scheduler.decider.feed.catch_up()
        await scheduler.instances.reconcile(3)
    [waiting] = await cluster.facts(InstanceUnschedulable)
    assert [(reason.worker, reason.check) for reason in waiting.reasons] == [
        ("w1", "local_path"),
        ("w2", "local_path"),
    ]
