"""The facts that placements come to: a pure function of the picture, the time and what workers said, so that
a past decision can be made again."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from modelyard_placement.claims import Sizer
from modelyard_placement.demand import PathSaid
from modelyard_placement.picture import Holding
from modelyard_placement.place import Placement, Unplaceable, place_in
from modelyard_placement.scores import policy_name

from modelyard_scheduler.domain.holding_back import Hold, held_for, oldest_waiting
from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.rooms import without

Said = Mapping[str, Mapping[int, PathSaid]]
"""What workers say of paths, by path and worker."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a batch of placements is decided on besides the picture. `hold` is what is kept for the instance
    that has waited longest."""

    said: Said
    decided_at_seq: int
    sizer: Sizer
    hold: Hold | None = None


def question(picture: Picture, said: Said, now: datetime, sizer: Sizer) -> Question:
    asked = Question(said, picture.position, sizer)
    return replace(asked, hold=_hold(picture, asked, now))


def placed(
    picture: Picture, instance_ids: Sequence[int], question: Question
) -> list[tuple[InstanceState, Event]]:
    """One after the other: each as if those before it were placed already. Nothing is said of what does not
    wait, or waits for the reasons that were stated last. The picture is as before afterwards."""
    found: list[tuple[InstanceState, Event]] = []
    taken: list[Holding] = []
    try:
        for ident in instance_ids:
            state = picture.instances.get(ident)
            if state is None or state.phase not in UNPLACED or state.deletion_requested:
                continue
            for event in facts(picture, state, question):
                found.append((state, event))
                if isinstance(event, WorkerDevicesReserved):
                    taken.append(Holding(ident, state.deployment_id, event.worker_id, event.claim))
                    picture.rooms.take(taken[-1])
    finally:
        for holding in reversed(taken):
            picture.rooms.give_back(holding.worker, holding.instance)
    return found


def facts(picture: Picture, state: InstanceState, question: Question) -> list[Event]:
    found = result(picture, state, question)
    decision = _decision(picture, state, question, found)
    if isinstance(found, Placement):
        return _scheduled(state, found, decision)
    return _unschedulable(state, found, decision)


def result(picture: Picture, state: InstanceState, question: Question) -> Placement | Unplaceable:
    """Where one instance goes; workers that are held for an older one are out of the question."""
    try:
        demand = picture.demand(state, paths_for(state, question.said))
    except BadParameters as error:
        return Unplaceable((Reason(check="model", message=f"backend_parameters: {error}"),))
    hold = _hold_against(state, question)
    if hold is None:
        return place_in(picture.rooms, demand, sizer=question.sizer)
    found = place_in(without(picture.rooms, hold.workers), demand, sizer=question.sizer)
    if isinstance(found, Placement):
        return found
    kept = [room.worker.name for room in picture.rooms.everyone() if room.worker.ident in hold.workers]
    return Unplaceable((*found.reasons, *(hold.reason(name) for name in kept)))


def paths_for(state: InstanceState, said: Said) -> Mapping[int, PathSaid] | None:
    path = state.spec.local_path
    return said.get(path) if path else None


def _hold(picture: Picture, question: Question, now: datetime) -> Hold | None:
    oldest = oldest_waiting(picture.unplaced(), now)
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


def _decision(
    picture: Picture, state: InstanceState, question: Question, found: Placement | Unplaceable
) -> Decision:
    best = found.best if isinstance(found, Placement) else ()
    hold = _hold_against(state, question)
    return Decision(
        policy=policy_name(state.spec.placement_strategy),
        decided_at_seq=question.decided_at_seq,
        candidates=len(best),
        strategy=found.strategy if isinstance(found, Placement) else None,
        best=best,
        workers=len(picture.workers),
        paths=grouped(paths_for(state, question.said)),
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


def _unschedulable(state: InstanceState, found: Unplaceable, decision: Decision) -> list[Event]:
    """Amounts that changed are no news; that another check fails, or on another worker, is."""
    reasons = found.stated()
    if state.phase is Phase.UNSCHEDULABLE and _kinds(state.reasons) == _kinds(reasons):
        return []
    return [
        InstanceUnschedulable(
            instance_id=state.instance_id,
            deployment_id=state.deployment_id,
            message=found.message(),
            reasons=reasons,
            decision=decision,
        )
    ]


def _kinds(reasons: Sequence[Reason]) -> set[tuple[str | None, str | None, str]]:
    return {(reason.worker, reason.device, reason.check) for reason in reasons}
