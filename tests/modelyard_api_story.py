"""A short history of a cluster, for tests of the read side."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.deployments import Claim, DeploymentSpec, Source
from modelyard_contracts.envelope import Cause
from modelyard_contracts.events import (
    ApiKeyCreated,
    ClusterCreated,
    Decision,
    DeploymentRequested,
    InstanceFailed,
    InstanceGivenUp,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceRunning,
    InstanceScheduled,
    InstanceStarting,
    NameClaimed,
    RouteCreated,
    RouteTarget,
    UserCreated,
    WorkerDevicesReserved,
    WorkerInventoryChanged,
    WorkerReady,
    WorkerRegistered,
)
from modelyard_contracts.failures import FailureCause
from modelyard_contracts.inventory import GpuDevice, Inventory
from modelyard_eventlog.log import EventLog, Write

START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
SPEC = DeploymentSpec(source=Source.LOCAL_PATH, local_path="/models/a.gguf", env={"A": "sealed"})
CLAIM = Claim(ram_bytes=100, vram_bytes={"cuda:0": 40})
DECISION = Decision(policy="spread", decided_at_seq=1)
_numbers = count()


def cause() -> Cause:
    number = next(_numbers)
    return Cause(
        command_id=f"command-{number}",
        actor="user/1",
        source="modelyard/test",
        time=START + timedelta(seconds=number),
        correlation_id="story",
        causation_id="why",
    )


async def tell(log: EventLog, *events: Event) -> int:
    """Appends each event by itself; the last sequence."""
    seq = 0
    for event in events:
        seq = (await log.append([Write(event, None)], cause())).seq
    return seq


def users(*names: str) -> list[Event]:
    """The first one is an admin."""
    return [
        UserCreated(user_id=ident, username=name, is_admin=ident == 1, password_hash=f"hash-of-{name}")
        for ident, name in enumerate(names, 1)
    ]


def api_key(ident: int, user_id: int) -> Event:
    return ApiKeyCreated(
        key_id=ident, user_id=user_id, name=f"key{ident}", access_key=f"{ident:016x}", secret_hash="no"
    )


def cluster(ident: int = 1) -> Event:
    return ClusterCreated(cluster_id=ident, name=f"cluster{ident}", is_default=ident == 1)


def deployment(ident: int, name: str | None = None, *, replicas: int = 1) -> list[Event]:
    """With its name and its route, as the api writes them."""
    name = name or f"d{ident}"
    return [
        NameClaimed(kind=Aggregate.DEPLOYMENT, name=name, claimed_by=ident),
        DeploymentRequested(deployment_id=ident, name=name, cluster_id=1, replicas=replicas, spec=SPEC),
        RouteCreated(
            route_id=ident,
            name=name,
            targets=(RouteTarget(deployment_id=ident),),
            generic_proxy=False,
            created_model_id=ident,
        ),
    ]


def worker(ident: int = 1) -> list[Event]:
    """Registered, ready, with one GPU."""
    device = GpuDevice(vendor="nvidia", type="cuda", index=0, name="X", uuid="u", memory_total_bytes=80)
    inventory = Inventory(
        os="Linux",
        kernel="6",
        architecture="x86_64",
        cpu_count=4,
        memory_total_bytes=1000,
        gpu_devices=(device,),
    )
    return [
        WorkerRegistered(
            worker_id=ident,
            name=f"w{ident}",
            worker_uuid=f"uuid-{ident}",
            public_key=f"key-{ident}",
            cluster_id=1,
            hostname=f"host{ident}",
            labels={},
        ),
        WorkerReady(worker_id=ident, address=f"10.0.0.{ident}", agent_version="1.0", session="s"),
        WorkerInventoryChanged(worker_id=ident, inventory=inventory),
    ]


def instance(ident: int, deployment_id: int, worker_id: int = 1) -> list[Event]:
    """Requested, placed and started, but not running yet."""
    return [
        InstanceRequested(
            instance_id=ident,
            deployment_id=deployment_id,
            name=f"i{ident}",
            deployment_name=f"d{deployment_id}",
            cluster_id=1,
            spec=SPEC,
            spec_seq=1,
        ),
        WorkerDevicesReserved(worker_id=worker_id, instance_id=ident, claim=CLAIM),
        InstanceScheduled(
            instance_id=ident,
            deployment_id=deployment_id,
            worker_id=worker_id,
            worker_name=f"w{worker_id}",
            claim=CLAIM,
            decision=DECISION,
        ),
        InstanceStarting(
            instance_id=ident,
            deployment_id=deployment_id,
            worker_id=worker_id,
            attempt=0,
            pid=42,
            command=("server",),
        ),
    ]


def runs(ident: int, deployment_id: int, worker_id: int = 1, *, attempt: int = 0) -> Event:
    return InstanceRunning(
        instance_id=ident,
        deployment_id=deployment_id,
        worker_id=worker_id,
        attempt=attempt,
        host=f"10.0.0.{worker_id}",
        port=4000 + ident,
        pid=42,
        backend_version="b1",
        startup_s=1.0,
    )


def fails(ident: int, deployment_id: int, worker_id: int = 1) -> list[Event]:
    """With the restart that follows."""
    return [
        InstanceFailed(
            instance_id=ident,
            deployment_id=deployment_id,
            worker_id=worker_id,
            attempt=0,
            cause=FailureCause.CRASHED,
            message="signal 9",
        ),
        InstanceRestartScheduled(
            instance_id=ident, deployment_id=deployment_id, attempt=1, streak=1, delay_s=5, restart_at=START
        ),
    ]


def gives_up(ident: int, deployment_id: int) -> Event:
    return InstanceGivenUp(
        instance_id=ident, deployment_id=deployment_id, cause=FailureCause.BAD_ARGUMENT, failures=3
    )


def whole_story() -> Sequence[Event]:
    """Two deployments, two workers, three instances, one of which fails."""
    return [
        *users("admin", "ann"),
        api_key(1, 2),
        cluster(),
        *worker(1),
        *worker(2),
        *deployment(1),
        *deployment(2, replicas=2),
        *instance(1, 1, 1),
        *instance(2, 2, 1),
        *instance(3, 2, 2),
        runs(1, 1, 1),
        runs(2, 2, 1),
        runs(3, 2, 2),
        *fails(3, 2, 2),
    ]
