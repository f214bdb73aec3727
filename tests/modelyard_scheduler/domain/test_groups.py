"""An instance on several workers: told to all, started in order, failed once, stopped when all have."""

from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim, Subordinate
from modelyard_contracts.events import InstanceMemberPrepared
from modelyard_contracts.messages import Want
from modelyard_scheduler.domain.instance import Phase, admits
from modelyard_scheduler.domain.wants import wants_for
from modelyard_scheduler_world import (
    at,
    failed,
    instance,
    removed,
    requested,
    restart_scheduled,
    running,
    scheduled,
    starting,
    stopped,
    stopping,
    told,
)

OTHER = Subordinate(worker_id=2, worker_name="w2", claim=Claim(vram_bytes={"cuda:0": 7}))
PLACED = (requested(), scheduled().model_copy(update={"subordinates": (OTHER,)}))


def prepared(worker_id: int, attempt: int = 0, ports: tuple[int, ...] = ()) -> InstanceMemberPrepared:
    return InstanceMemberPrepared(
        instance_id=5,
        deployment_id=3,
        worker_id=worker_id,
        attempt=attempt,
        address=f"10.0.0.{worker_id}",
        interface="eth0",
        ports=ports,
    )


READY = (*PLACED, prepared(1, ports=(4000,)), prepared(2))
RUNS = (*READY, starting(), running())


def wants(*events: Event, now_s: float = 0) -> list[Want]:
    return list(wants_for(instance(*events), at(now_s)))


def said(found: list[Want]) -> list[tuple[int, str, int, bool]]:
    return [
        (want.worker_id, want.state, want.attempt, bool(want.group and want.group.start)) for want in found
    ]


def halted(found: list[Want]) -> list[tuple[int, int]]:
    return [(want.worker_id, want.attempt) for want in found if want.state == "halted"]


def test_every_worker_hears_of_its_part() -> None:
    primary, other = wants(*PLACED)
    assert primary.group is not None
    assert other.group is not None
    assert (primary.group.rank, other.group.rank) == (0, 1)
    assert [member.worker_name for member in other.group.members] == ["w1", "w2"]
    assert [member.device_count for member in other.group.members] == [0, 1]
    assert other.claim == OTHER.claim


def test_it_starts_once_all_are_prepared_and_the_primary_first() -> None:
    half = (*PLACED, prepared(1, ports=(4000,)))
    assert said(wants(*half)) == [(1, "running", 0, False), (2, "running", 0, False)]
    assert said(wants(*READY)) == [(1, "running", 0, True), (2, "running", 0, False)]
    assert said(wants(*READY, starting())) == [(1, "running", 0, True), (2, "running", 0, True)]
    _, other = wants(*half)
    assert other.group is not None
    assert other.group.ports == (4000,)
    assert [member.address for member in other.group.members] == ["10.0.0.1", None]


def test_the_first_failure_of_any_is_that_of_all() -> None:
    fallen = (*RUNS, failed(worker_id=2))
    assert instance(*fallen).phase is Phase.FAILED
    assert halted(wants(*fallen)) == [(1, 0), (2, 0)]
    assert admits(instance(*fallen), failed(worker_id=1)) is not None
    waits = (*fallen, restart_scheduled(1, delay_s=10))
    assert halted(wants(*waits, now_s=9)) == [(1, 0), (2, 0)]
    assert said(wants(*waits, now_s=10)) == [(1, "running", 1, False), (2, "running", 1, False)]
    again = (*waits, prepared(1, 1, ports=(4001,)), prepared(2, 1))
    assert said(wants(*again, now_s=10)) == [(1, "running", 1, True), (2, "running", 1, False)]


def test_only_its_own_workers_speak_of_it_and_only_the_primary_serves() -> None:
    state = instance(*READY, starting())
    assert admits(state, failed(worker_id=2)) is None
    assert admits(state, failed(worker_id=9)) is not None
    assert admits(state, running(worker_id=2)) is not None


def test_the_primary_finishes_its_requests_before_the_others_stop() -> None:
    going = (*RUNS, stopping())
    assert [want.state for want in wants(*going)] == ["absent", "running"]
    assert [want.state for want in wants(*going, stopped())] == ["absent", "absent"]
    assert instance(*going, stopped()).phase is Phase.STOPPING
    assert instance(*going, stopped(), stopped(worker_id=2)).phase is Phase.STOPPED


def test_one_that_goes_before_it_started_starts_nowhere() -> None:
    assert said(wants(*READY, stopping())) == [(1, "absent", 0, True), (2, "running", 0, False)]


def test_a_leftover_is_one_until_every_worker_has_ended_its_part() -> None:
    picture = told(*RUNS, removed(worker_lost=True))
    picture.ended(5, 2)
    assert 5 in picture.leftovers
    picture.ended(5, 1)
    assert picture.leftovers == {}
