"""The facts that a placement comes to: a pure function of the picture and of what workers said, so that a
past decision can be made again."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from modelyard_contracts import events
from modelyard_contracts.base import Event
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import InstanceScheduled, InstanceUnschedulable, WorkerDevicesReserved

from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.placement import (
    Crowd,
    PathSaid,
    Placement,
    Unplaceable,
    place,
    policy_name,
)
from modelyard_scheduler.domain.worker import WorkerPhase


def placed(
    picture: Picture, instance_id: int, said: Mapping[int, PathSaid], decided_at_seq: int
) -> list[Event]:
    """Where the instance goes, or why nowhere; nothing if it does not wait, or the reasons are those that
    were stated last. `decided_at_seq` is what of the log the whole batch was decided on."""
    state = picture.instances.get(instance_id)
    if state is None or state.phase not in UNPLACED or state.deletion_requested:
        return []
    workers = [w for w in picture.workers.values() if w.phase is not WorkerPhase.DELETED]
    same = Counter(other.worker_id for other in picture.instances_of(state.deployment_id))
    crowds = {w.worker_id: Crowd(same[w.worker_id], picture.count_on(w.worker_id)) for w in workers}
    found = place(state, workers, said, crowds)
    decision = events.Decision(
        policy=policy_name(state.spec),
        decided_at_seq=decided_at_seq,
        candidates=found.candidates if isinstance(found, Placement) else 0,
    )
    if isinstance(found, Placement):
        return _scheduled(state, found, decision)
    return _unschedulable(state, found, decision)


def _scheduled(state: InstanceState, found: Placement, decision: events.Decision) -> list[Event]:
    return [
        WorkerDevicesReserved(
            worker_id=found.worker.worker_id, instance_id=state.instance_id, claim=found.claim
        ),
        InstanceScheduled(
            instance_id=state.instance_id,
            deployment_id=state.deployment_id,
            worker_id=found.worker.worker_id,
            worker_name=found.worker.name,
            claim=found.claim,
            decision=decision,
        ),
    ]


def _unschedulable(state: InstanceState, found: Unplaceable, decision: events.Decision) -> list[Event]:
    reasons = found.stated()
    if state.phase is Phase.UNSCHEDULABLE and state.reasons == reasons:
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


def assumed(picture: Picture, event: Event, time: datetime) -> Recorded[Any]:
    """The event as the next one of this picture's log: enough of it to fold."""
    return Recorded(
        seq=picture.position + 1,
        id="",
        type=type(event).__name__,
        source="",
        subject=f"{event.aggregate}/{event.aggregate_id()}",
        time=time,
        version=event.version,
        actor="",
        correlation_id="",
        causation_id="",
        traceparent=None,
        data=event,
    )
