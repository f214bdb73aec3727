import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim
from modelyard_contracts.events import DeploymentUpdated, WorkerMaintenanceChanged
from modelyard_scheduler.domain.reconcile import ReplicasPlan, Stop, replicas_plan
from modelyard_scheduler.domain.standing import draining, standings
from modelyard_scheduler_world import (
    SPEC,
    deleted,
    deletion_requested,
    deployment,
    failed,
    given_up,
    requested,
    reserved,
    running,
    scaled,
    scheduled,
    silent,
    starting,
    stopping,
    told,
    unschedulable,
    worker,
)


def plan(*events: Event) -> ReplicasPlan:
    picture = told(*events)
    return replicas_plan(
        picture.deployments.get(3),
        picture.instances_of(3),
        lambda: standings(picture, 3),
        draining(picture, 3),
    )


def runs(ident: int, worker_id: int = 1) -> tuple[Event, ...]:
    return (
        requested(ident),
        scheduled(ident, worker_id=worker_id),
        starting(ident=ident, worker_id=worker_id),
        running(ident=ident, worker_id=worker_id),
    )


def test_what_is_missing_is_requested() -> None:
    assert plan(deployment(replicas=3), *runs(5)) == ReplicasPlan(request=2)


def test_nothing_is_done_when_the_wish_is_met() -> None:
    assert plan(deployment(replicas=1), *runs(5)) == ReplicasPlan()


def test_stopping_instances_do_not_count() -> None:
    assert plan(deployment(replicas=1), *runs(5), stopping(5)) == ReplicasPlan(request=1)


def test_a_failed_instance_counts_whether_or_not_it_is_restarted() -> None:
    assert plan(deployment(replicas=1), requested(), scheduled(), failed()) == ReplicasPlan()


def test_an_instance_whose_deletion_was_asked_for_goes_and_is_replaced() -> None:
    expected = ReplicasPlan(request=1, stop=(Stop(5, "deletion_requested"),))
    assert plan(deployment(replicas=1), *runs(5), deletion_requested(5)) == expected


def test_deleting_one_of_too_many_stops_no_other() -> None:
    given = (deployment(replicas=2), *runs(5), *runs(6), scaled(1), deletion_requested(5))
    assert plan(*given) == ReplicasPlan(stop=(Stop(5, "deletion_requested"),))


def test_every_instance_of_a_deleted_deployment_goes() -> None:
    expected = ReplicasPlan(stop=(Stop(5, "deployment_deleted"), Stop(6, "deployment_deleted")))
    assert plan(deployment(replicas=2), *runs(5), *runs(6), deleted()) == expected
    assert replicas_plan(None, told(*runs(5)).instances_of(3), dict).stop == (Stop(5, "deployment_deleted"),)


def of_layers(ident: int, offloaded: int) -> Event:
    """Its room, with so many of ten layers on devices."""
    claim = Claim(ram_bytes=1, total_layers=10, offload_layers=offloaded)
    return reserved(ident, worker_id=1, claim=claim)


WORST_FIRST: list[tuple[Event, ...]] = [
    (requested(20),),
    (requested(19), scheduled(19), failed(ident=19)),
    runs(18, worker_id=2),
    (requested(17), scheduled(17), starting(ident=17)),
    runs(16, worker_id=3),
    (*runs(15), of_layers(15, 2)),
    (*runs(14), of_layers(14, 7)),
    (*runs(13, worker_id=4), *runs(12, worker_id=4), reserved(13, worker_id=4), reserved(12, worker_id=4)),
    (*runs(11, worker_id=5), reserved(11, worker_id=5)),
    (*runs(10, worker_id=6), reserved(10, worker_id=6)),
]
"""Not placed, failed, on a silent worker, starting, on a worker in maintenance, most offloaded, most crowded,
then the youngest."""
FLEET = (
    *(event for ident in range(1, 7) for event in worker(ident)),
    WorkerMaintenanceChanged(worker_id=3, enabled=True),
)


@pytest.mark.parametrize("replicas", range(len(WORST_FIRST) + 2))
def test_scale_down_removes_the_worst_first(replicas: int) -> None:
    events = [event for one in reversed(WORST_FIRST) for event in one]
    found = plan(deployment(replicas=replicas), *FLEET, *events, silent(2))
    assert found.request == 0
    assert [stop.instance_id for stop in found.stop] == list(range(20, 9, -1))[: max(0, 11 - replicas)]


def test_one_that_waits_as_the_deployment_was_before_is_replaced_by_one_as_it_is_now() -> None:
    changed = DeploymentUpdated(
        deployment_id=3, name="chat3", spec=SPEC.model_copy(update={"cpu_offloading": True})
    )
    given = (deployment(replicas=2), *runs(5), requested(6), changed)
    assert plan(*given) == ReplicasPlan(request=1, stop=(Stop(6, "outdated"),))


def test_one_that_was_given_up_is_replaced_once_the_deployment_is_another() -> None:
    changed = DeploymentUpdated(
        deployment_id=3, name="chat3", spec=SPEC.model_copy(update={"backend_parameters": ("--jinja",)})
    )
    given = (deployment(), requested(5), scheduled(5), starting(ident=5), failed(ident=5))
    assert plan(*given, changed) == ReplicasPlan()
    assert plan(*given, given_up(5)) == ReplicasPlan()
    assert plan(*given, given_up(5), changed) == ReplicasPlan(request=1, stop=(Stop(5, "outdated"),))


# --- drains ----------------------------------------------------------------------------------------

DRAIN = WorkerMaintenanceChanged(worker_id=1, enabled=True, drain=True)
TWO_TO_MOVE = (*worker(1), *worker(2), deployment(replicas=2), *runs(5), *runs(6), DRAIN)


def test_a_worker_in_maintenance_that_is_not_drained_keeps_what_it_has() -> None:
    closed = WorkerMaintenanceChanged(worker_id=1, enabled=True)
    assert plan(*worker(1), deployment(replicas=1), *runs(5), closed) == ReplicasPlan()


def test_of_what_is_to_move_one_is_replaced_at_a_time_and_stopped_once_its_replacement_runs() -> None:
    assert plan(*TWO_TO_MOVE) == ReplicasPlan(request=1)
    on_its_way = (*TWO_TO_MOVE, requested(7), scheduled(7, worker_id=2))
    assert plan(*on_its_way) == ReplicasPlan()
    there = (*TWO_TO_MOVE, *runs(7, worker_id=2))
    assert plan(*there) == ReplicasPlan(stop=(Stop(6, "drained"),))
    assert plan(*there, stopping(6)) == ReplicasPlan(request=1)
    all_there = (*there, stopping(6), *runs(8, worker_id=2), stopping(5))
    assert plan(*all_there) == ReplicasPlan()


def test_without_room_for_a_replacement_what_is_to_move_stays() -> None:
    assert plan(*TWO_TO_MOVE, requested(7), unschedulable(7)) == ReplicasPlan()


def test_what_is_to_move_is_the_first_to_go_when_fewer_are_wanted() -> None:
    given = (*TWO_TO_MOVE, *runs(7, worker_id=2), scaled(1))
    assert plan(*given) == ReplicasPlan(stop=(Stop(6, "drained"), Stop(5, "drained")))


def test_a_drain_that_is_called_off_leaves_no_more_than_are_wanted() -> None:
    over = WorkerMaintenanceChanged(worker_id=1, enabled=False)
    given = (*TWO_TO_MOVE, requested(7), scheduled(7, worker_id=2), over)
    assert plan(*given) == ReplicasPlan(stop=(Stop(7, "scale_down"),))


@given(
    replicas=st.integers(0, 6),
    kinds=st.lists(st.sampled_from(["requested", "running", "failed", "stopping", "unwanted"]), max_size=8),
)
def test_carrying_out_the_plan_meets_the_wish(replicas: int, kinds: list[str]) -> None:
    events: list[Event] = [deployment(replicas=replicas)]
    for ident, kind in enumerate(kinds, start=10):
        if kind == "requested":
            events.append(requested(ident))
            continue
        events += runs(ident)
        if kind == "failed":
            events.append(failed(ident=ident))
        elif kind == "stopping":
            events.append(stopping(ident))
        elif kind == "unwanted":
            events.append(deletion_requested(ident))
    found = plan(*events)
    done = [stopping(stop.instance_id) for stop in found.stop]
    new = [requested(50 + number) for number in range(found.request)]
    picture = told(*events, *done, *new)
    counted = [s for s in picture.instances_of(3) if s.instance_id not in {x.instance_id for x in found.stop}]
    assert len([s for s in counted if s.phase.value != "stopping"]) == replicas
    assert not (found.request and any(stop.reason == "scale_down" for stop in found.stop))
