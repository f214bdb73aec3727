"""The facts that placements come to: a pure function of the picture, the time and what workers said, so that
a past decision can be made again."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Reason
from modelyard_contracts.events import (
    Decision,
    InstanceScheduled,
    InstanceUnschedulable,
    PathsSaid,
    WorkerDevicesReserved,
)
from modelyard_contracts.parameters import BadParameters
from modelyard_placement.demand import PathSaid
from modelyard_placement.index import NOBODY
from modelyard_placement.picture import Holding
from modelyard_placement.place import Placement, Unplaceable, place_in
from modelyard_placement.scores import policy_name

from modelyard_scheduler.domain.holding_back import Hold, held_for, oldest_waiting
from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.rooms import without
from modelyard_scheduler.domain.surveys import Surveys

Said = Mapping[str, Mapping[int, PathSaid]]
"""What workers say of paths, by path and worker."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a batch of placements is decided on besides the picture. `hold` is what is kept for the instance
    that has waited longest."""

    said: Said
    decided_at_seq: int
    surveys: Surveys
    """Kept from one to the next, with the sizer."""
    hold: Hold | None = None
    explained: AbstractSet[int] | None = None
    """Instances that wait already, whose reasons are to be looked at anew; None: of all."""
    now: datetime | None = None
    """None: nothing is held for the next one when that is placed which `hold` is for."""


def question(
    picture: Picture,
    said: Said,
    now: datetime,
    surveys: Surveys,
    explained: AbstractSet[int] | None = None,
) -> Question:
    asked = Question(said, picture.position, surveys, explained=explained, now=now)
    return replace(asked, hold=_hold(picture, asked, frozenset()))


def placed(
    picture: Picture, instance_ids: Sequence[int], question: Question
) -> list[tuple[InstanceState, Event]]:
    """One after the other: each as if those before it were placed already. Nothing is said of what does not
    wait, or waits for the reasons that were stated last. The picture is as before afterwards."""
    decided: list[tuple[InstanceState, Event]] = []
    taken: list[Holding] = []
    refused = Refused()
    try:
        for ident in instance_ids:
            state = picture.instances.get(ident)
            if state is None or state.phase not in UNPLACED or state.deletion_requested:
                continue
            found = refused.again(state, question, len(taken)) or result(picture, state, question)
            refused.note(state, question, len(taken), found)
            for event in stated(picture, state, question, found):
                decided.append((state, event))
                if isinstance(event, WorkerDevicesReserved):
                    taken.append(picture.holding(ident, event.worker_id, event.claim))
                    picture.rooms.take(taken[-1])
            question = _held_for_the_next(picture, question, {holding.instance for holding in taken})
    finally:
        for holding in reversed(taken):
            picture.rooms.give_back(holding.worker, holding.instance)
    return decided


@dataclass(slots=True)
class Refused:
    """What found no room in this batch: the like of it finds none either, since room only becomes less, and
    for the same reasons as long as nothing was taken."""

    known: dict[tuple[int, int, bool], tuple[int, Unplaceable]] = field(default_factory=dict)

    def again(self, state: InstanceState, question: Question, taken: int) -> Unplaceable | None:
        before = self.known.get(self._kind(state, question))
        if before is None:
            return None
        same = before[0] == taken and before[1].reasons
        return before[1] if same or not _is_explained(state, question) else None

    def note(
        self, state: InstanceState, question: Question, taken: int, found: Placement | Unplaceable
    ) -> None:
        if isinstance(found, Unplaceable):
            self.known[self._kind(state, question)] = taken, found

    @staticmethod
    def _kind(state: InstanceState, question: Question) -> tuple[int, int, bool]:
        return state.deployment_id, id(state.spec), _hold_against(state, question) is not None


def facts(picture: Picture, state: InstanceState, question: Question) -> list[Event]:
    return stated(picture, state, question, result(picture, state, question))


def stated(
    picture: Picture,
    state: InstanceState,
    question: Question,
    found: Placement | Unplaceable,
) -> list[Event]:
    if isinstance(found, Placement):
        return _scheduled(state, found, _decision(picture, state, question, found))
    if not _is_explained(state, question) or _is_no_news(state, found):
        return []
    return [
        InstanceUnschedulable(
            instance_id=state.instance_id,
            deployment_id=state.deployment_id,
            message=found.message(),
            reasons=found.stated(),
            decision=_decision(picture, state, question, found),
        )
    ]


def result(picture: Picture, state: InstanceState, question: Question) -> Placement | Unplaceable:
    """Where one instance goes; workers that are held for an older one are out of the question."""
    try:
        demand = picture.demand(state, paths_for(state, question.said))
    except BadParameters as error:
        return Unplaceable((Reason(check="model", message=f"backend_parameters: {error}"),))
    hold, explain = _hold_against(state, question), _is_explained(state, question)
    if hold is None:
        return place_in(picture.rooms, demand, sizer=question.surveys.sizer, explain=explain)
    rooms = without(picture.rooms, hold.workers)
    found = place_in(rooms, demand, sizer=question.surveys.sizer, explain=explain)
    if isinstance(found, Placement):
        return found
    kept = [room.worker.name for room in picture.rooms.everyone() if room.worker.ident in hold.workers]
    reasons = (reason for reason in found.reasons if not _is_missed(reason, kept))
    return Unplaceable((*reasons, *(hold.reason(name) for name in kept)))


def _is_missed(reason: Reason, kept: Sequence[str]) -> bool:
    """A worker of a GPU chosen by hand that is there, but kept for somebody else."""
    chosen = reason.check == "gpu_selector" and reason.worker is None
    return chosen and str(reason.needed).rsplit(":", 2)[0] in kept


def paths_for(state: InstanceState, said: Said) -> Mapping[int, PathSaid] | None:
    path = state.spec.local_path
    return said.get(path) if path else None


def _is_explained(state: InstanceState, question: Question) -> bool:
    if state.phase is not Phase.UNSCHEDULABLE or question.explained is None:
        return True
    return state.instance_id in question.explained


def _held_for_the_next(picture: Picture, question: Question, placed: AbstractSet[Hashable]) -> Question:
    """What was kept for one that has its place now is kept no longer."""
    if question.hold is None or question.hold.instance_id not in placed:
        return question
    asked = replace(question, hold=None)
    return replace(asked, hold=_hold(picture, asked, placed))


def _hold(picture: Picture, question: Question, placed: AbstractSet[Hashable]) -> Hold | None:
    if question.now is None:
        return None
    waiting = [state for state in picture.unplaced() if state.instance_id not in placed]
    oldest = oldest_waiting(waiting, question.now)
    if oldest is None:
        return None
    try:
        demand = picture.demand(oldest, paths_for(oldest, question.said))
    except BadParameters:
        return None
    return held_for(oldest, demand, result(picture, oldest, question), picture.rooms)


def _hold_against(state: InstanceState, question: Question) -> Hold | None:
    """Only the younger ones have to leave it alone."""
    hold = question.hold
    return hold if hold is not None and hold.instance_id < state.instance_id else None


def held_from(state: InstanceState, question: Question) -> frozenset[int]:
    """Workers that it has to leave alone."""
    hold = _hold_against(state, question)
    return hold.workers if hold else NOBODY


def _decision(
    picture: Picture,
    state: InstanceState,
    question: Question,
    found: Placement | Unplaceable,
) -> Decision:
    best = found.best if isinstance(found, Placement) else ()
    hold = _hold_against(state, question)
    paths = paths_for(state, question.said)
    told = question.surveys.told(picture, state, paths, held_from(state, question))
    return Decision(
        policy=policy_name(state.spec.placement_strategy),
        decided_at_seq=question.decided_at_seq,
        candidates=len(best),
        strategy=found.strategy if isinstance(found, Placement) else None,
        best=best,
        workers=len(picture.workers),
        verdicts=told.verdicts,
        pages=told.pages,
        paths=grouped(paths),
        held=hold.stated() if hold else None,
    )


def grouped(paths: Mapping[int, PathSaid] | None) -> tuple[PathsSaid, ...]:
    """Workers that said the same together."""
    if paths is None:
        return ()
    by_answer: dict[PathSaid, list[int]] = defaultdict(list)
    for worker_id, said in sorted(paths.items()):
        by_answer[said].append(worker_id)
    return tuple(
        PathsSaid(found=said is True, message=said if isinstance(said, str) else "", worker_ids=tuple(ids))
        for said, ids in by_answer.items()
    )


def ungrouped(paths: Sequence[PathsSaid]) -> dict[int, PathSaid]:
    return {worker_id: said.found or said.message or False for said in paths for worker_id in said.worker_ids}


def _scheduled(state: InstanceState, found: Placement, decision: Decision) -> list[Event]:
    """One batch: two schedulers cannot both take the same room."""
    parts = [(found.worker.ident, found.claim)] + [(p.worker_id, p.claim) for p in found.subordinates]
    reserved: list[Event] = [
        WorkerDevicesReserved(worker_id=worker_id, instance_id=state.instance_id, claim=claim)
        for worker_id, claim in parts
    ]
    scheduled = InstanceScheduled(
        instance_id=state.instance_id,
        deployment_id=state.deployment_id,
        worker_id=found.worker.ident,
        worker_name=found.worker.name,
        claim=found.claim,
        subordinates=found.subordinates,
        overcommits=found.overcommits,
        decision=decision,
    )
    return [*reserved, scheduled]


def _is_no_news(state: InstanceState, found: Unplaceable) -> bool:
    """Amounts that changed are no news; that another check fails, or on another worker, is."""
    return state.phase is Phase.UNSCHEDULABLE and _kinds(state.reasons) == _kinds(found.stated())


def _kinds(reasons: Sequence[Reason]) -> set[tuple[str | None, str | None, str]]:
    return {(reason.worker, reason.device, reason.check) for reason in reasons}
