"""What each worker is told: a pure function of the picture and the time, so nothing told is ever lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, assert_never

from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.messages import Want

from modelyard_scheduler.domain.instance import InstanceState, Phase
from modelyard_scheduler.domain.picture import Picture

WantKey = tuple[int, int]
"""Worker and instance."""


@dataclass(frozen=True, slots=True)
class WantsPlan:
    put: tuple[Want, ...] = ()
    forget: tuple[WantKey, ...] = ()


def want_for(state: InstanceState, now: datetime, backend: InferenceBackend | None = None) -> Want | None:
    """None for an instance that is on no worker. `backend`: as it is defined now; None: the agent finds one.

    A failed instance is still wanted at the attempt that failed, which makes its agent do nothing; the
    next attempt is wanted once its time has come.
    """
    match state.phase:
        case Phase.REQUESTED | Phase.UNSCHEDULABLE:
            return None
        case Phase.SCHEDULED | Phase.DOWNLOADING | Phase.STARTING | Phase.RUNNING | Phase.FAILED:
            return _want(state, "running", state.attempt, backend)
        case Phase.BACKING_OFF:
            due = state.restart_at is None or now >= state.restart_at
            return _want(state, "running", state.attempt if due else state.attempt - 1, backend)
        case Phase.STOPPING | Phase.STOPPED | Phase.REMOVED:
            return _want(state, "absent", state.attempt, backend)
        case _:
            assert_never(state.phase)


def _want(
    state: InstanceState,
    wanted: Literal["running", "absent"],
    attempt: int,
    backend: InferenceBackend | None,
) -> Want | None:
    if state.worker_id is None:
        return None
    return Want(
        instance_id=state.instance_id,
        deployment_id=state.deployment_id,
        worker_id=state.worker_id,
        name=state.name,
        deployment_name=state.deployment_name,
        state=wanted,
        attempt=attempt,
        spec=state.spec,
        claim=state.claim,
        subordinates=state.subordinates,
        backend=backend,
        correlation_id=state.correlation_id,
        actor=state.actor,
        traceparent=state.traceparent,
    )


def supersedes(want: Want, held: Want | None) -> bool:
    """Whether `want` should take the place of what is held. A start once wanted is never taken back: a
    timer may have fired while this clock still says it is too early."""
    if held is None:
        return True
    if want.state == held.state == "running" and want.attempt < held.attempt:
        return False
    return want != held


def wants_plan(picture: Picture, held: Mapping[WantKey, Want], now: datetime) -> WantsPlan:
    """What to change of `held`, all the wants there are, so that they say what the picture says."""
    put: list[Want] = []
    for state in picture.instances.values():
        want = want_for(state, now, picture.backend_of(state.spec))
        if want is not None and supersedes(want, held.get((want.worker_id, want.instance_id))):
            put.append(want)
    forget: list[WantKey] = []
    for key, want in held.items():
        instance_id = want.instance_id
        if instance_id in picture.instances or instance_id > picture.highest_instance_id:
            continue
        if want.state == "running":
            put.append(want.model_copy(update={"state": "absent"}))
        elif instance_id not in picture.leftovers:
            forget.append(key)
    return WantsPlan(put=tuple(put), forget=tuple(forget))
