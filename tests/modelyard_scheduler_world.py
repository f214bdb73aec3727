"""What tests of the scheduler tell: facts in a log, and the pictures they make."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim, DeploymentSpec, Source
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    Decision,
    DeploymentDeleted,
    DeploymentRequested,
    DeploymentScaled,
    InstanceDeletionRequested,
    InstanceDownloading,
    InstanceFailed,
    InstanceGivenUp,
    InstanceRemoved,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceRunning,
    InstanceScheduled,
    InstanceStarting,
    InstanceStopped,
    InstanceStopping,
    InstanceUnschedulable,
    ModelInspected,
    StopReason,
    WorkerDevicesReleased,
    WorkerDevicesReserved,
    WorkerInventoryChanged,
    WorkerLost,
    WorkerReady,
    WorkerRegistered,
    WorkerSilent,
)
from modelyard_contracts.failures import FailureCause
from modelyard_contracts.inventory import Inventory
from modelyard_contracts.models import ModelFacts, ModelFormat, coordinates_of
from modelyard_placement.claims import UNKNOWN_RAM_BYTES
from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.picture import Picture

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GIB = 1024**3
SPEC = DeploymentSpec(source=Source.LOCAL_PATH, local_path="/models/a.gguf")
SLOT = UNKNOWN_RAM_BYTES
"""Main memory that an instance takes whose model is not known."""
CLAIM = Claim(ram_bytes=GIB)
DECISION = Decision(policy="spread/1", decided_at_seq=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def record(event: Event, seq: int, *, actor: str = "user/1", story: str = "story") -> Recorded[Any]:
    return Recorded(
        seq=seq,
        id=f"command-{seq}/0",
        type=type(event).__name__,
        source="modelyard/test",
        subject=f"{event.aggregate}/{event.aggregate_id()}",
        time=at(seq),
        version=event.version,
        actor=actor,
        correlation_id=story,
        causation_id="why",
        traceparent=None,
        data=event,
    )


def told(*events: Event) -> Picture:
    """The picture after these facts, which are sequences 1, 2, ..."""
    picture = Picture()
    for seq, event in enumerate(events, start=1):
        picture.apply(record(event, seq))
    return picture


# --- deployments -----------------------------------------------------------------------------------


def deployment(
    ident: int = 3, *, replicas: int = 1, spec: DeploymentSpec = SPEC, cluster_id: int = 1
) -> DeploymentRequested:
    return DeploymentRequested(
        deployment_id=ident, name=f"chat{ident}", cluster_id=cluster_id, replicas=replicas, spec=spec
    )


def scaled(replicas: int, ident: int = 3) -> DeploymentScaled:
    return DeploymentScaled(deployment_id=ident, replicas=replicas, previous_replicas=0)


def deleted(ident: int = 3) -> DeploymentDeleted:
    return DeploymentDeleted(deployment_id=ident, name=f"chat{ident}")


# --- instances -------------------------------------------------------------------------------------


def requested(
    ident: int = 5, *, deployment_id: int = 3, spec: DeploymentSpec = SPEC, cluster_id: int = 1
) -> InstanceRequested:
    return InstanceRequested(
        instance_id=ident,
        deployment_id=deployment_id,
        name=f"chat{deployment_id}-{ident:05d}",
        deployment_name=f"chat{deployment_id}",
        cluster_id=cluster_id,
        spec=spec,
        spec_seq=1,
    )


def scheduled(
    ident: int = 5, *, worker_id: int = 1, deployment_id: int = 3, claim: Claim = CLAIM
) -> InstanceScheduled:
    return InstanceScheduled(
        instance_id=ident,
        deployment_id=deployment_id,
        worker_id=worker_id,
        worker_name=f"w{worker_id}",
        claim=claim,
        decision=DECISION,
    )


def unschedulable(ident: int = 5) -> InstanceUnschedulable:
    return InstanceUnschedulable(
        instance_id=ident, deployment_id=3, message="no", reasons=(), decision=DECISION
    )


def downloading(attempt: int = 0, *, ident: int = 5, worker_id: int = 1) -> InstanceDownloading:
    return InstanceDownloading(
        instance_id=ident, deployment_id=3, worker_id=worker_id, attempt=attempt, source="org/repo"
    )


def starting(attempt: int = 0, *, ident: int = 5, worker_id: int = 1) -> InstanceStarting:
    return InstanceStarting(
        instance_id=ident,
        deployment_id=3,
        worker_id=worker_id,
        attempt=attempt,
        pid=7,
        command=("serve",),
    )


def running(attempt: int = 0, *, ident: int = 5, worker_id: int = 1) -> InstanceRunning:
    return InstanceRunning(
        instance_id=ident,
        deployment_id=3,
        worker_id=worker_id,
        attempt=attempt,
        host="127.0.0.1",
        port=9000,
        pid=7,
        backend_version="1",
        startup_s=1.0,
    )


def failed(
    attempt: int = 0,
    *,
    ident: int = 5,
    worker_id: int = 1,
    healthy_s: float = 0.0,
    cause: FailureCause = FailureCause.CRASHED,
) -> InstanceFailed:
    return InstanceFailed(
        instance_id=ident,
        deployment_id=3,
        worker_id=worker_id,
        attempt=attempt,
        cause=cause,
        message="it crashed",
        exit_code=1,
        healthy_s=healthy_s,
    )


def stopped(attempt: int = 0, *, ident: int = 5, worker_id: int = 1) -> InstanceStopped:
    return InstanceStopped(instance_id=ident, deployment_id=3, worker_id=worker_id, attempt=attempt)


def restart_scheduled(
    attempt: int = 1, *, ident: int = 5, streak: int = 1, delay_s: float = 10.0
) -> InstanceRestartScheduled:
    return InstanceRestartScheduled(
        instance_id=ident,
        deployment_id=3,
        attempt=attempt,
        streak=streak,
        delay_s=delay_s,
        restart_at=at(delay_s),
    )


def given_up(ident: int = 5) -> InstanceGivenUp:
    return InstanceGivenUp(instance_id=ident, deployment_id=3, cause=FailureCause.BAD_ARGUMENT, failures=3)


def deletion_requested(ident: int = 5) -> InstanceDeletionRequested:
    return InstanceDeletionRequested(instance_id=ident, deployment_id=3)


def stopping(ident: int = 5, *, reason: StopReason = "scale_down") -> InstanceStopping:
    return InstanceStopping(instance_id=ident, deployment_id=3, reason=reason)


def removed(ident: int = 5, *, worker_lost: bool = False) -> InstanceRemoved:
    return InstanceRemoved(
        instance_id=ident, deployment_id=3, reason="worker_lost" if worker_lost else "scale_down"
    )


def instance(*events: Event) -> InstanceState:
    """Instance 5 after these facts."""
    return told(*events).instances[5]


# --- workers ---------------------------------------------------------------------------------------


def registered(
    ident: int = 1, *, labels: dict[str, str] | None = None, cluster_id: int = 1
) -> WorkerRegistered:
    return WorkerRegistered(
        worker_id=ident,
        name=f"w{ident}",
        worker_uuid=f"uuid-{ident}",
        public_key="key",
        cluster_id=cluster_id,
        hostname=f"w{ident}",
        labels=labels or {},
    )


def ready(ident: int = 1, *, session: str = "s1") -> WorkerReady:
    return WorkerReady(worker_id=ident, address="127.0.0.1", agent_version="1", session=session)


def inventory(
    ident: int = 1, *, ram_bytes: int = 16 * GIB, reserved_bytes: int = 0, backend: str = "llama.cpp"
) -> WorkerInventoryChanged:
    return WorkerInventoryChanged(
        worker_id=ident,
        inventory=Inventory(
            os="linux",
            kernel="6",
            architecture="x86_64",
            cpu_count=4,
            memory_total_bytes=ram_bytes,
            reserved_ram_bytes=reserved_bytes,
            backends={backend: "1"},
        ),
    )


def reserved(instance_id: int = 5, *, worker_id: int = 1, claim: Claim = CLAIM) -> WorkerDevicesReserved:
    return WorkerDevicesReserved(worker_id=worker_id, instance_id=instance_id, claim=claim)


def released(instance_id: int = 5, *, worker_id: int = 1) -> WorkerDevicesReleased:
    return WorkerDevicesReleased(worker_id=worker_id, instance_id=instance_id)


def silent(ident: int = 1, *, last_seen: datetime = START) -> WorkerSilent:
    return WorkerSilent(worker_id=ident, last_seen=last_seen)


def lost(ident: int = 1, *, last_seen: datetime = START) -> WorkerLost:
    return WorkerLost(worker_id=ident, last_seen=last_seen, grace_s=180)


def worker(ident: int = 1, *, ram_bytes: int = 16 * GIB, cluster_id: int = 1) -> Sequence[Event]:
    """The facts of a worker that is ready."""
    return (registered(ident, cluster_id=cluster_id), ready(ident), inventory(ident, ram_bytes=ram_bytes))


# --- models ----------------------------------------------------------------------------------------


def inspected(spec: DeploymentSpec = SPEC, *, weight_bytes: int = GIB) -> ModelInspected:
    facts = ModelFacts(location=spec.location(), format=ModelFormat.GGUF, weight_bytes=weight_bytes)
    return ModelInspected(coordinates=coordinates_of(spec), facts=facts)
