import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.base import Event
from modelyard_scheduler.domain.reconcile import ReplicasPlan, Stop, replicas_plan
from modelyard_scheduler_world import (
    deleted,
    deletion_requested,
    deployment,
    failed,
    requested,
    running,
    scaled,
    scheduled,
    starting,
    stopping,
    told,
)


def plan(*events: Event, silent_workers: frozenset[int] = frozenset()) -> ReplicasPlan:
    picture = told(*events)
    return replicas_plan(picture.deployments.get(3), picture.instances_of(3), silent_workers)


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
    assert replicas_plan(None, told(*runs(5)).instances_of(3)).stop == (Stop(5, "deployment_deleted"),)


WORST_FIRST: list[tuple[Event, ...]] = [
    (requested(11),),
    (requested(10), scheduled(10), failed(ident=10)),
    runs(9, worker_id=2),
    (requested(8), scheduled(8), starting(ident=8)),
    runs(7),
    runs(6),
]


@pytest.mark.parametrize("replicas", range(len(WORST_FIRST)))
def test_scale_down_removes_the_worst_first(replicas: int) -> None:
    """Not placed, failed, on a silent worker, starting, then the youngest of those that run."""
    events = [event for one in reversed(WORST_FIRST) for event in one]
    found = plan(deployment(replicas=replicas), *events, silent_workers=frozenset({2}))
    assert found.request == 0
    assert [stop.instance_id for stop in found.stop] == [11, 10, 9, 8, 7, 6][: 6 - replicas]


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
