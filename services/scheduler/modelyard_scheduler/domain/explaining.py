"""Explains a placement as of now: every worker's verdict, and what would make an instance fit."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime

from modelyard_contracts.deployments import Reason
from modelyard_contracts.explanations import Explanation, WorkerVerdict
from modelyard_contracts.parameters import BadParameters
from modelyard_placement.claims import Sizer
from modelyard_placement.demand import Demand, PathSaid
from modelyard_placement.picture import Holding
from modelyard_placement.place import Placement, Unplaceable, place_in
from modelyard_placement.verdicts import alike

from modelyard_scheduler.domain.instance import InstanceState, homes
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.remedies import remedies
from modelyard_scheduler.domain.rooms import only
from modelyard_scheduler.domain.surveys import Surveys

MOST_GROUPS = 2000
"""Fits into an answer of 1 MiB."""
MOST_VERDICTS = 50
"""In a larger cluster, the workers that come closest."""


def explanation(
    picture: Picture,
    state: InstanceState,
    paths: Mapping[int, PathSaid] | None,
    now: datetime,
    surveys: Surveys,
) -> Explanation:
    """As if it were to be placed now: what it holds counts as free. The picture is as before afterwards."""
    told = Explanation(
        instance_id=state.instance_id,
        at_seq=picture.position,
        at=now,
        phase=state.phase.value,
        workers_in_all=len(picture.workers),
    )
    try:
        demand = picture.demand(state, paths)
    except BadParameters as error:
        reason = Reason(check="model", message=f"backend_parameters: {error}")
        return told.model_copy(update={"lacking": {"model": 1}, "verdicts": (_of_all([reason]),)})
    held = list(_held(picture, state))
    for holding in held:
        picture.rooms.give_back(holding.worker, holding.instance)
    try:
        rows = surveys.rows(picture, state, paths)
        told = told.model_copy(update={"alike": alike(rows, most_groups=MOST_GROUPS)})
        return _explained(told, picture, demand, surveys.sizer)
    finally:
        for holding in held:
            picture.rooms.take(holding)


def _held(picture: Picture, state: InstanceState) -> Iterator[Holding]:
    for worker_id in homes(state):
        worker = picture.workers.get(worker_id)
        claim = worker.reservations.get(state.instance_id) if worker else None
        if claim is not None:
            yield picture.holding(state.instance_id, worker_id, claim)


def _explained(told: Explanation, picture: Picture, demand: Demand, sizer: Sizer) -> Explanation:
    found = place_in(picture.rooms, demand, sizer=sizer)
    if isinstance(found, Placement):
        placed = {"strategy": found.strategy, "claim": found.claim, "best": found.best}
        told = told.model_copy(update=placed)
    else:
        told = told.model_copy(update={"remedies": remedies(picture.rooms, demand, found, sizer)})
    verdicts = list(_verdicts(picture, demand, found, sizer))
    counts = Counter(reason.check for verdict in verdicts for reason in verdict.reasons)
    if isinstance(found, Unplaceable):
        counts = Counter(reason.check for reason in found.reasons)
    return told.model_copy(update={"verdicts": tuple(verdicts), "lacking": dict(counts)})


def _verdicts(
    picture: Picture, demand: Demand, found: Placement | Unplaceable, sizer: Sizer
) -> Iterator[WorkerVerdict]:
    """Each worker as if it were the only one; a group's reasons are those of all together."""
    if isinstance(found, Unplaceable):
        yield from _by_worker(found)
        return
    rooms = list(picture.rooms.everyone())
    near = {candidate.worker for candidate in found.best}
    if len(rooms) > MOST_VERDICTS:
        rooms = [room for room in rooms if room.worker.name in near]
    for room in rooms:
        alone = place_in(only(picture.rooms, room), demand, sizer=sizer)
        if isinstance(alone, Placement):
            yield WorkerVerdict(worker=room.worker.name, place=alone.best[0] if alone.best else None)
        else:
            yield WorkerVerdict(worker=room.worker.name, reasons=alone.reasons)


def _by_worker(found: Unplaceable) -> Iterator[WorkerVerdict]:
    reasons: dict[str, list[Reason]] = defaultdict(list)
    for reason in found.stated():
        reasons[reason.worker or ""].append(reason)
    for name in list(reasons)[:MOST_VERDICTS]:
        yield _of_all(reasons[name], name)


def _of_all(reasons: list[Reason], name: str = "") -> WorkerVerdict:
    return WorkerVerdict(worker=name, reasons=tuple(reasons))
