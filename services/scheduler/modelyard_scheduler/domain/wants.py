"""What each worker is told: a pure function of the picture and the time, so nothing told is ever lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, assert_never

from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.deployments import Category, DeploymentSpec
from modelyard_contracts.messages import GroupMember, GroupWant, Want
from modelyard_contracts.models import ModelFacts, with_file

from modelyard_scheduler.domain.instance import InstanceState, Phase, homes
from modelyard_scheduler.domain.picture import Picture

WantKey = tuple[int, int]
"""Worker and instance."""
Wanted = Literal["running", "halted", "absent"]
RUNNING: Final = "running"
HALTED: Final = "halted"
ABSENT: Final = "absent"


@dataclass(frozen=True, slots=True)
class WantsPlan:
    put: tuple[Want, ...] = ()
    forget: tuple[WantKey, ...] = ()


def wants_for(
    state: InstanceState,
    now: datetime,
    backend: InferenceBackend | None = None,
    model: ModelFacts | None = None,
) -> tuple[Want, ...]:
    """One for each of its workers, the primary's first; none for an instance that is on no worker.
    `backend`: as it is defined now; None: the agent finds one.

    A failed instance is still wanted at the attempt that failed, which makes its agent do nothing; the
    next attempt is wanted once its time has come.
    """
    wanted: Wanted = RUNNING
    attempt = state.attempt
    match state.phase:
        case Phase.REQUESTED | Phase.UNSCHEDULABLE:
            return ()
        case Phase.SCHEDULED | Phase.DOWNLOADING | Phase.STARTING | Phase.RUNNING:
            pass
        case Phase.FAILED:
            wanted = _after_failure(state)
        case Phase.BACKING_OFF:
            due = state.restart_at is None or now >= state.restart_at
            if not due:
                wanted, attempt = _after_failure(state), attempt - 1
        case Phase.STOPPING | Phase.STOPPED | Phase.REMOVED:
            wanted = ABSENT
        case _:
            assert_never(state.phase)
    spec = _spec(state, model)
    return tuple(_want(state, spec, rank, wanted, attempt, backend) for rank in range(len(homes(state))))


def _spec(state: InstanceState, model: ModelFacts | None) -> DeploymentSpec:
    """With what its model was found to be: llama.cpp has to be told whether it embeds or ranks."""
    spec = with_file(state.spec, state.model_file) if state.model_file else state.spec
    if spec.categories or model is None or model.gguf is None or model.category is Category.UNKNOWN:
        return spec
    return spec.model_copy(update={"categories": (model.category,)})


def _after_failure(state: InstanceState) -> Wanted:
    """On several workers, what the others still run of it is of no use."""
    return HALTED if state.subordinates else RUNNING


def _want(
    state: InstanceState,
    spec: DeploymentSpec,
    rank: int,
    wanted: Wanted,
    attempt: int,
    backend: InferenceBackend | None,
) -> Want:
    primary_ended = state.worker_id in state.ended_on
    if wanted == ABSENT and rank and state.phase is Phase.STOPPING and not primary_ended:
        wanted = RUNNING  # what the primary one still answers takes all of them
    return Want(
        instance_id=state.instance_id,
        deployment_id=state.deployment_id,
        worker_id=homes(state)[rank],
        name=state.name,
        deployment_name=state.deployment_name,
        state=wanted,
        attempt=attempt,
        spec=spec,
        claim=state.subordinates[rank - 1].claim if rank else state.claim,
        group=_group(state, rank) if state.subordinates else None,
        backend=backend,
        correlation_id=state.correlation_id,
        actor=state.actor,
        traceparent=state.traceparent,
    )


def _group(state: InstanceState, rank: int) -> GroupWant:
    """The primary starts once all are prepared, the others once it has."""
    prepared = state.prepared
    primary = prepared.get(state.worker_id or 0)
    began = state.phase in (Phase.STARTING, Phase.RUNNING)
    parts = [
        (state.worker_name or "", state.claim),
        *((part.worker_name, part.claim) for part in state.subordinates),
    ]
    members = []
    for worker_id, (name, claim) in zip(homes(state), parts, strict=True):
        said = prepared.get(worker_id)
        member = GroupMember(worker_id=worker_id, worker_name=name, device_count=len(claim.vram_bytes))
        if said is not None:
            known = {"address": said.address, "device_addresses": said.device_addresses}
            member = member.model_copy(update=known)
        members.append(member)
    return GroupWant(
        rank=rank,
        members=tuple(members),
        ports=primary.ports if primary else (),
        start=began or (rank == 0 and prepared.keys() >= set(homes(state))),
    )


def supersedes(want: Want, held: Want | None) -> bool:
    """Whether `want` should take the place of what is held. A start once wanted is never taken back: a
    timer may have fired while this clock still says it is too early."""
    if held is None:
        return True
    if held.state == RUNNING and want.state != ABSENT and want.attempt < held.attempt:
        return False
    return want != held


def wants_plan(picture: Picture, held: Mapping[WantKey, Want], now: datetime) -> WantsPlan:
    """What to change of `held`, all the wants there are, so that they say what the picture says."""
    put: list[Want] = []
    for state in picture.instances.values():
        put += [
            want
            for want in wants_for(state, now, picture.backend_of(state.spec), picture.facts_of(state))
            if supersedes(want, held.get((want.worker_id, want.instance_id)))
        ]
    forget: list[WantKey] = []
    for key, want in held.items():
        instance_id = want.instance_id
        if instance_id in picture.instances or instance_id > picture.highest_instance_id:
            continue
        if want.state != ABSENT:
            put.append(want.model_copy(update={"state": ABSENT}))
        elif instance_id not in picture.leftovers:
            forget.append(key)
    return WantsPlan(put=tuple(put), forget=tuple(forget))
