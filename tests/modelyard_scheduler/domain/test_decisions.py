"""What a placement comes to, as facts: many in turn, on one picture, and made again later."""

from datetime import datetime

from modelyard_contracts.base import Event
from modelyard_contracts.deployments import PlacementStrategy
from modelyard_contracts.events import (
    InstanceScheduled,
    InstanceUnschedulable,
    WorkerDevicesReserved,
)
from modelyard_placement.demand import PathSaid
from modelyard_scheduler.domain.decisions import Said, grouped, placed, question, ungrouped
from modelyard_scheduler.domain.holding_back import HOLD_AFTER_S
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.surveys import Surveys
from modelyard_scheduler_world import SLOT, SPEC, at, deployment, requested, told, unschedulable, worker

HAS_IT: Said = {"/models/a.gguf": {1: True, 2: True, 3: True}}
BINPACK = SPEC.model_copy(update={"placement_strategy": PlacementStrategy.BINPACK})


def decided(picture: Picture, *idents: int, now: datetime | None = None, said: Said = HAS_IT) -> list[Event]:
    asked = question(picture, said, now or at(picture.position), Surveys())
    return [event for _, event in placed(picture, idents, asked)]


def placements(events: list[Event]) -> list[tuple[int, int]]:
    return [(e.instance_id, e.worker_id) for e in events if isinstance(e, InstanceScheduled)]


def test_each_is_placed_as_if_those_before_it_were_placed_already() -> None:
    picture = told(*worker(1, ram_bytes=2 * SLOT), *worker(2, ram_bytes=SLOT), *map(requested, range(5, 9)))
    events = decided(picture, 5, 6, 7, 8)
    assert placements(events) == [(5, 1), (6, 2), (7, 1)]
    [waits] = [event for event in events if isinstance(event, InstanceUnschedulable)]
    assert waits.instance_id == 8
    assert {reason.check for reason in waits.reasons} == {"ram"}
    assert [type(event) for event in events[:2]] == [WorkerDevicesReserved, InstanceScheduled]


def test_a_thousand_that_find_no_room_are_refused_as_one() -> None:
    picture = told(*worker(1, ram_bytes=SLOT), deployment(), *(requested(ident) for ident in range(5, 1005)))
    events = decided(picture, *range(5, 1005))
    assert placements(events) == [(5, 1)]
    waiting = [event for event in events if isinstance(event, InstanceUnschedulable)]
    assert len(waiting) == 999
    assert len({event.message for event in waiting}) == 1


def test_of_what_waits_already_only_those_asked_for_are_told_their_reasons_anew() -> None:
    picture = told(
        *worker(1, ram_bytes=SLOT // 2), *(f(n) for n in (5, 6) for f in (requested, unschedulable))
    )
    asked = question(picture, HAS_IT, at(9), Surveys(), frozenset({6}))
    assert [event.aggregate_id() for _, event in placed(picture, (5, 6), asked)] == ["6"]


def test_deciding_leaves_the_picture_as_it_was() -> None:
    picture = told(*worker(1, ram_bytes=2 * SLOT), requested(5), requested(6))
    assert decided(picture, 5, 6) == decided(picture, 5, 6)
    assert [room.ram_free for room in picture.rooms.everyone()] == [2 * SLOT]


def test_reasons_whose_amounts_alone_changed_are_no_news() -> None:
    facts = (*worker(1, ram_bytes=SLOT // 2), requested(5))
    [first] = decided(told(*facts), 5)
    assert decided(told(*facts, first), 5) == []
    assert decided(told(*facts, first, *worker(1, ram_bytes=SLOT // 3)), 5) == []
    [news] = decided(told(*facts, first, *worker(2, ram_bytes=SLOT // 2)), 5)
    assert isinstance(news, InstanceUnschedulable)
    assert {reason.worker for reason in news.reasons} == {"w1", "w2"}


def test_every_decision_says_what_each_worker_was_when_it_was_made() -> None:
    facts = [fact for ident in range(1, 4) for fact in worker(ident, ram_bytes=SLOT)]
    picture = told(*facts, *worker(4, ram_bytes=SLOT // 2), requested(5), requested(6))
    said = {
        event.instance_id: [
            (verdict.check, verdict.available, verdict.members[0].workers)
            for verdict in event.decision.verdicts
        ]
        for event in decided(picture, 5, 6, said={})
        if isinstance(event, InstanceScheduled)
    }
    assert said == {
        5: [(None, None, ((1, 3),)), ("ram", SLOT // 2, ((4, 4),))],
        6: [("ram", 0, ((1, 1),)), (None, None, ((2, 3),)), ("ram", SLOT // 2, ((4, 4),))],
    }


def test_parameters_that_cannot_be_read_are_the_reason() -> None:
    spec = SPEC.model_copy(update={"backend_parameters": ('--name "unclosed',)})
    [waits] = decided(told(*worker(), requested(5, spec=spec)), 5)
    assert isinstance(waits, InstanceUnschedulable)
    assert "backend_parameters" in waits.message


def test_what_workers_said_is_kept_with_the_decision() -> None:
    said: dict[int, PathSaid] = {1: "no such file", 2: True, 3: "no such file"}
    picture = told(*worker(1), *worker(2), *worker(3), requested(5))
    events = decided(picture, 5, said={"/models/a.gguf": said})
    assert placements(events) == [(5, 2)]
    [scheduled] = [event for event in events if isinstance(event, InstanceScheduled)]
    assert scheduled.decision.paths == grouped(said)
    assert ungrouped(scheduled.decision.paths) == said


# --- no starvation ---------------------------------------------------------------------------------


def big_waits(*others: Event) -> Picture:
    """Two workers with room for two; instance 5 asks for more than either has left, and waits."""
    big = SPEC.model_copy(update={"worker_selector": {}, "backend_parameters": ("--big",)})
    return told(
        deployment(3, spec=big),
        *worker(1, ram_bytes=SLOT // 2),
        *worker(2, ram_bytes=SLOT // 4),
        requested(5, spec=big),
        unschedulable(5),
        *others,
    )


def test_who_has_waited_long_is_kept_room_where_least_is_lacking() -> None:
    picture = big_waits(*worker(3, ram_bytes=8 * SLOT), requested(6))
    long_after = at(picture.position + HOLD_AFTER_S)
    # 5 fits on the third worker, so that is what younger ones have to leave to it
    [waits] = decided(picture, 6, now=long_after)
    assert isinstance(waits, InstanceUnschedulable)
    assert {reason.worker: reason.check for reason in waits.reasons} == {
        "w1": "ram",
        "w2": "ram",
        "w3": "held",
    }
    assert waits.decision.held is not None
    assert (waits.decision.held.instance_id, waits.decision.held.worker_ids) == (5, (3,))
    # and once it is there, what is left of that is for the younger ones
    assert placements(decided(picture, 5, 6, now=long_after)) == [(5, 3), (6, 3)]


def test_who_has_not_waited_long_holds_up_nobody() -> None:
    picture = big_waits(*worker(3, ram_bytes=8 * SLOT), requested(6))
    assert placements(decided(picture, 6)) == [(6, 3)]
