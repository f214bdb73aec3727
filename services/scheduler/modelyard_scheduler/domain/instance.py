"""What may happen to an instance.

`LIFE` is the whole story: from each phase, the facts that may follow and the phase they lead to. What is
not in it cannot happen: an agent's fact that `LIFE` does not allow is refused (`admits`), and the
scheduler's own decisions look here before they are made (`may`).

    requested -> scheduled -> [downloading ->] starting -> running
                     any of these -> failed -> backing off -> [downloading ->] starting -> ...
    any placed phase -> stopping -> stopped -> removed

On several workers it is one instance all the same: it starts once every worker has prepared its part, the
first failure of any is the failure of all, and it has stopped once all have.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, assert_never

from modelyard_contracts.deployments import Claim, DeploymentSpec, Reason, Subordinate
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    InstanceDeletionRequested,
    InstanceDownloading,
    InstanceFailed,
    InstanceGivenUp,
    InstanceMemberPrepared,
    InstanceMemberStarted,
    InstanceMemoryMeasured,
    InstanceRemoved,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceRunning,
    InstanceScheduled,
    InstanceStarting,
    InstanceStopped,
    InstanceStopping,
    InstanceUnready,
    InstanceUnschedulable,
)
from modelyard_contracts.failures import FailureCause

AgentFact = (
    InstanceDownloading
    | InstanceStarting
    | InstanceRunning
    | InstanceUnready
    | InstanceMemberPrepared
    | InstanceMemberStarted
    | InstanceMemoryMeasured
    | InstanceFailed
    | InstanceStopped
)
InstanceFact = (
    InstanceRequested
    | InstanceScheduled
    | InstanceUnschedulable
    | InstanceRestartScheduled
    | InstanceGivenUp
    | InstanceDeletionRequested
    | InstanceStopping
    | InstanceRemoved
    | AgentFact
)


class Phase(StrEnum):
    REQUESTED = "requested"
    UNSCHEDULABLE = "unschedulable"
    SCHEDULED = "scheduled"
    DOWNLOADING = "downloading"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    BACKING_OFF = "backing_off"
    STOPPING = "stopping"
    STOPPED = "stopped"
    REMOVED = "removed"


_UNPLACED: Mapping[type[InstanceFact], Phase] = {
    InstanceScheduled: Phase.SCHEDULED,
    InstanceUnschedulable: Phase.UNSCHEDULABLE,
    InstanceRemoved: Phase.REMOVED,
}
_PLACED: Mapping[type[InstanceFact], Phase] = {
    InstanceFailed: Phase.FAILED,
    InstanceStopping: Phase.STOPPING,
    InstanceRemoved: Phase.REMOVED,
}
_TO_START: Mapping[type[InstanceFact], Phase] = {
    InstanceDownloading: Phase.DOWNLOADING,
    InstanceStarting: Phase.STARTING,
}

LIFE: Mapping[Phase, Mapping[type[InstanceFact], Phase]] = {
    Phase.REQUESTED: _UNPLACED,
    Phase.UNSCHEDULABLE: _UNPLACED,
    Phase.SCHEDULED: {**_PLACED, **_TO_START, InstanceMemberPrepared: Phase.SCHEDULED},
    Phase.DOWNLOADING: {
        **_PLACED,
        InstanceStarting: Phase.STARTING,
        InstanceMemberPrepared: Phase.DOWNLOADING,
    },
    Phase.STARTING: {**_PLACED, InstanceRunning: Phase.RUNNING, InstanceMemberStarted: Phase.STARTING},
    Phase.RUNNING: {
        **_PLACED,
        InstanceRunning: Phase.RUNNING,
        InstanceUnready: Phase.STARTING,
        InstanceMemoryMeasured: Phase.RUNNING,
    },
    Phase.FAILED: {
        InstanceRestartScheduled: Phase.BACKING_OFF,
        InstanceGivenUp: Phase.FAILED,
        InstanceStopping: Phase.STOPPING,
        InstanceRemoved: Phase.REMOVED,
    },
    Phase.BACKING_OFF: {**_PLACED, **_TO_START, InstanceMemberPrepared: Phase.BACKING_OFF},
    Phase.STOPPING: {InstanceStopped: Phase.STOPPED, InstanceRemoved: Phase.REMOVED},
    Phase.STOPPED: {InstanceRemoved: Phase.REMOVED},
    Phase.REMOVED: {},
}

LEAVING = frozenset({Phase.STOPPING, Phase.STOPPED, Phase.REMOVED})
"""On its way out: it counts for no deployment any more."""
UNPLACED = frozenset({Phase.REQUESTED, Phase.UNSCHEDULABLE})
WORKER_GONE = frozenset({"worker_lost", "worker_deleted"})
"""Reasons of a removal that nobody confirmed: a model server may be left on that worker."""


NOTHING_CLAIMED = Claim()
NOBODY_PREPARED: Mapping[int, InstanceMemberPrepared] = MappingProxyType({})
OF_ANY_MEMBER = (
    InstanceMemberPrepared,
    InstanceMemberStarted,
    InstanceFailed,
    InstanceStopped,
)
"""Facts that each worker of an instance states of its own part; all others are the primary's."""


class InstanceState(NamedTuple):
    instance_id: int
    deployment_id: int
    name: str
    deployment_name: str
    cluster_id: int
    spec: DeploymentSpec
    spec_seq: int
    """The sequence of the deployment event that `spec` comes from."""
    phase: Phase
    seq: int
    """The last sequence of its aggregate."""
    last_event_id: str
    correlation_id: str
    """Of the last thing that somebody wanted of it (the agent's own facts leave this and `actor`)."""
    actor: str
    requested_at: datetime
    traceparent: str | None = None
    """Of the same event as `correlation_id`."""
    worker_id: int | None = None
    worker_name: str | None = None
    model_file: str | None = None
    """Of the GGUF models in its repository, the one that had been chosen when it was placed."""
    claim: Claim = NOTHING_CLAIMED
    """Of the worker it is on."""
    subordinates: tuple[Subordinate, ...] = ()
    serves_at: tuple[str, int] | None = None
    """Host and port, while it runs."""
    prepared: Mapping[int, InstanceMemberPrepared] = NOBODY_PREPARED
    """What the workers of a group have said for the current attempt, by worker."""
    ended_on: frozenset[int] = frozenset()
    """Workers that have ended their part, as it stops."""
    attempt: int = 0
    """The number of the current start; while backing off, of the coming one."""
    streak: int = 0
    """Failures in a row, as the last restart counted them."""
    restart_at: datetime | None = None
    healthy_s: float = 0.0
    """For how long it ran before its last failure."""
    failure: FailureCause | None = None
    """Of its last failure."""
    failed_at: datetime | None = None
    given_up: bool = False
    """It has failed and is not started again."""
    has_run: bool = False
    reasons: tuple[Reason, ...] = ()
    """Why it is unschedulable."""
    deletion_requested: bool = False
    leaves_because: str | None = None


def homes(state: InstanceState) -> tuple[int, ...]:
    """The workers it is on, the primary one first."""
    return (
        () if state.worker_id is None else (state.worker_id, *(part.worker_id for part in state.subordinates))
    )


def may(state: InstanceState, fact: type[InstanceFact]) -> bool:
    return fact in LIFE[state.phase]


def admits(state: InstanceState | None, fact: AgentFact) -> str | None:
    """Why an agent's fact cannot be true of this instance; None if it can."""
    if state is None or state.phase is Phase.REMOVED:
        return f"instance {fact.instance_id} is removed or was never there"
    if fact.deployment_id != state.deployment_id:
        return f"{state.name} belongs to deployment {state.deployment_id}, not {fact.deployment_id}"
    if fact.worker_id != state.worker_id and not _is_of_member(state, fact):
        return f"{state.name} is on worker {state.worker_id}, not {fact.worker_id}"
    if not _attempt_fits(state, fact):
        return f"{state.name} is at attempt {state.attempt}, not {fact.attempt}"
    if isinstance(fact, InstanceRunning) and state.serves_at == (fact.host, fact.port):
        return f"{state.name} said so before"
    if not may(state, type(fact)):
        return f"{type(fact).__name__} cannot follow while {state.name} is {state.phase}"
    return None


def _is_of_member(state: InstanceState, fact: AgentFact) -> bool:
    return isinstance(fact, OF_ANY_MEMBER) and fact.worker_id in homes(state)


def _attempt_fits(state: InstanceState, fact: AgentFact) -> bool:
    # what is stopped while backing off is the leftover of the attempt before
    if isinstance(fact, InstanceStopped):
        return fact.attempt <= state.attempt
    return fact.attempt == state.attempt


def evolve(state: InstanceState | None, recorded: Recorded[InstanceFact]) -> InstanceState | None:
    """The instance after a fact of the log. Facts before it was requested, and facts that cannot follow,
    change nothing but the sequence: the log is never argued with."""
    fact = recorded.data
    if state is None:
        return _requested(fact, recorded) if isinstance(fact, InstanceRequested) else None
    phase = LIFE[state.phase].get(type(fact))
    seen = state._replace(seq=recorded.seq, last_event_id=recorded.id, phase=phase or state.phase)
    if isinstance(fact, InstanceDeletionRequested):
        return _wanted(seen._replace(deletion_requested=True), recorded)
    if phase is None:
        return seen
    serves_at = (fact.host, fact.port) if isinstance(fact, InstanceRunning) else state.serves_at
    entered = seen._replace(
        serves_at=serves_at if phase is Phase.RUNNING else None,
        has_run=state.has_run or phase is Phase.RUNNING,
        given_up=isinstance(fact, InstanceGivenUp),
    )
    return _entered(entered, fact, recorded)


def _requested(fact: InstanceRequested, recorded: Recorded[InstanceFact]) -> InstanceState:
    return InstanceState(
        instance_id=fact.instance_id,
        deployment_id=fact.deployment_id,
        name=fact.name,
        deployment_name=fact.deployment_name,
        cluster_id=fact.cluster_id,
        spec=fact.spec,
        spec_seq=fact.spec_seq,
        phase=Phase.REQUESTED,
        seq=recorded.seq,
        last_event_id=recorded.id,
        correlation_id=recorded.correlation_id,
        actor=recorded.actor,
        traceparent=recorded.traceparent,
        requested_at=recorded.time,
    )


def _wanted(state: InstanceState, recorded: Recorded[InstanceFact]) -> InstanceState:
    return state._replace(
        correlation_id=recorded.correlation_id,
        actor=recorded.actor,
        traceparent=recorded.traceparent,
    )


def _entered(state: InstanceState, fact: InstanceFact, recorded: Recorded[InstanceFact]) -> InstanceState:
    """What a legal fact says beyond the phase it leads to."""
    match fact:
        case InstanceScheduled():
            return state._replace(
                worker_id=fact.worker_id,
                worker_name=fact.worker_name,
                claim=fact.claim,
                subordinates=fact.subordinates,
                reasons=(),
            )
        case InstanceUnschedulable():
            return state._replace(reasons=fact.reasons)
        case InstanceFailed():
            failed = state._replace(healthy_s=fact.healthy_s, failure=fact.cause)
            return failed._replace(failed_at=recorded.time)
        case InstanceRestartScheduled():
            again = state._replace(attempt=fact.attempt, streak=fact.streak, restart_at=fact.restart_at)
            return again._replace(healthy_s=0.0, prepared=NOBODY_PREPARED)
        case InstanceMemberPrepared():
            return state._replace(prepared={**state.prepared, fact.worker_id: fact})
        case InstanceStopped():
            return ended(state, fact.worker_id)
        case InstanceStopping():
            return _wanted(state._replace(leaves_because=fact.reason), recorded)
        case InstanceRemoved():
            return state._replace(leaves_because=fact.reason)
        case (
            InstanceRequested()
            | InstanceDeletionRequested()
            | InstanceDownloading()
            | InstanceStarting()
            | InstanceRunning()
            | InstanceGivenUp()
            | InstanceUnready()
            | InstanceMemoryMeasured()
            | InstanceMemberStarted()
        ):
            return state
        case _:
            assert_never(fact)


def ended(state: InstanceState, worker_id: int) -> InstanceState:
    """With its part on that worker gone; it stops until all parts are."""
    ended_on = state.ended_on | {worker_id}
    over = ended_on.issuperset(homes(state))
    phase = Phase.STOPPING if state.phase is Phase.STOPPED and not over else state.phase
    return state._replace(ended_on=ended_on, phase=phase)
