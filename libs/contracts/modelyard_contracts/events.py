"""Every fact Modelyard keeps. Past tense, one class each; `EVENT_TYPES` at the end is the whole list.

`owner` names the one service whose code constructs the event. Agents hand theirs to the observation
stream, and the scheduler admits them to the log after checking them (`docs/decisions/`).
"""

from enum import StrEnum
from typing import ClassVar, Literal

from modelyard_contracts.base import Aggregate, Contract, Event, Instant, Owner
from modelyard_contracts.deployments import Category, Claim, DeploymentSpec, Reason
from modelyard_contracts.inventory import Inventory

# --- deployments -----------------------------------------------------------------------------------


class DeploymentEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.DEPLOYMENT
    owner: ClassVar[Owner] = Owner.API
    deployment_id: int

    def aggregate_id(self) -> str:
        return str(self.deployment_id)


class DeploymentRequested(DeploymentEvent):
    version: ClassVar[int] = 2
    name: str
    cluster_id: int
    replicas: int
    spec: DeploymentSpec


class DeploymentUpdated(DeploymentEvent):
    """The wish changed; instances that exist keep what they were created with."""

    version: ClassVar[int] = 2

    name: str
    spec: DeploymentSpec


class DeploymentScaled(DeploymentEvent):
    replicas: int
    previous_replicas: int


class DeploymentDeleted(DeploymentEvent):
    name: str


# --- instances -------------------------------------------------------------------------------------


class InstanceEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.INSTANCE
    instance_id: int
    deployment_id: int

    def aggregate_id(self) -> str:
        return str(self.instance_id)


class Decision(Contract):
    """What a placement was decided on, so that it can be recomputed: policy and position in the log."""

    policy: str
    decided_at_seq: int
    candidates: int = 0


class InstanceRequested(InstanceEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    version: ClassVar[int] = 2
    name: str
    deployment_name: str
    cluster_id: int
    spec: DeploymentSpec
    spec_seq: int
    """The sequence of the deployment event that `spec` comes from."""


class InstanceScheduled(InstanceEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    worker_id: int
    worker_name: str
    claim: Claim
    decision: Decision


class InstanceUnschedulable(InstanceEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    message: str
    reasons: tuple[Reason, ...]
    decision: Decision


class InstanceRestartScheduled(InstanceEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    attempt: int
    """The number of the coming start; the first start ever is 0."""
    streak: int
    """How many failures in a row the delay counts; a stretch of healthy running makes it 1 again."""
    delay_s: float
    restart_at: Instant


class InstanceDeletionRequested(InstanceEvent):
    """Somebody asked for this very instance to go; the scheduler replaces it if replicas demand."""

    owner: ClassVar[Owner] = Owner.API


class InstanceStopping(InstanceEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    reason: Literal["scale_down", "deployment_deleted", "deletion_requested"]


class InstanceRemoved(InstanceEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    reason: Literal["scale_down", "deployment_deleted", "deletion_requested", "worker_lost", "worker_deleted"]
    worker_id: int | None = None


class AgentInstanceEvent(InstanceEvent):
    """What happened to an instance on the worker it was placed on."""

    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    worker_id: int
    attempt: int


class InstanceDownloading(AgentInstanceEvent):
    source: str


class InstanceStarting(AgentInstanceEvent):
    pid: int
    command: tuple[str, ...]
    """The argument vector, environment left out."""


class InstanceRunning(AgentInstanceEvent):
    """The model server answers inference at `http://{host}:{port}`."""

    host: str
    port: int
    pid: int
    backend_version: str
    startup_s: float


class FailureCause(StrEnum):
    MODEL_NOT_FOUND = "model_not_found"
    UNSUPPORTED_MODEL = "unsupported_model"
    BAD_ARGUMENT = "bad_argument"
    OUT_OF_MEMORY = "out_of_memory"
    PORT_IN_USE = "port_in_use"
    DOWNLOAD_FAILED = "download_failed"
    START_TIMEOUT = "start_timeout"
    UNRESPONSIVE = "unresponsive"
    KILLED = "killed"
    CRASHED = "crashed"
    EXITED = "exited"
    """It ended with status 0 though nobody asked it to."""
    WORKER_STOPPED = "worker_stopped"
    """The agent ended it when it was itself shut down; no fault, so it is started again at once."""


class InstanceFailed(AgentInstanceEvent):
    cause: FailureCause
    message: str
    exit_code: int | None = None
    signal: int | None = None
    last_lines: tuple[str, ...] = ()
    healthy_s: float = 0.0
    """For how long it had been running when it failed; 0 if it never ran."""


class InstanceStopped(AgentInstanceEvent):
    """The agent ended the model server as wanted; its process tree is gone."""

    exit_code: int | None = None
    forced: bool = False
    """True if it had to be killed because it did not end within its grace."""


# --- workers ---------------------------------------------------------------------------------------


class WorkerEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.WORKER
    worker_id: int

    def aggregate_id(self) -> str:
        return str(self.worker_id)


class WorkerRegistered(WorkerEvent):
    owner: ClassVar[Owner] = Owner.API
    name: str
    worker_uuid: str
    public_key: str
    cluster_id: int
    hostname: str
    labels: dict[str, str]


class WorkerLabelsChanged(WorkerEvent):
    owner: ClassVar[Owner] = Owner.API
    labels: dict[str, str]


class WorkerMaintenanceChanged(WorkerEvent):
    owner: ClassVar[Owner] = Owner.API
    enabled: bool
    message: str | None = None


class WorkerDeleted(WorkerEvent):
    owner: ClassVar[Owner] = Owner.API
    name: str


class WorkerReady(WorkerEvent):
    """An agent took up (or took up again) its work."""

    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    address: str
    agent_version: str
    session: str
    """Differs for every start of the agent."""


class WorkerInventoryChanged(WorkerEvent):
    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    inventory: Inventory


class WorkerSilent(WorkerEvent):
    """No heartbeat came in time: its state is unknown, its instances keep their routes."""

    owner: ClassVar[Owner] = Owner.SCHEDULER
    last_seen: Instant


class WorkerRecovered(WorkerEvent):
    """A silent or lost worker beats again."""

    owner: ClassVar[Owner] = Owner.SCHEDULER


class WorkerLost(WorkerEvent):
    """Silent for longer than the grace period: its instances are replaced elsewhere."""

    owner: ClassVar[Owner] = Owner.SCHEDULER
    last_seen: Instant
    grace_s: float


class WorkerDevicesReserved(WorkerEvent):
    """Written in one batch with `InstanceScheduled`, so that two schedulers cannot over-commit."""

    owner: ClassVar[Owner] = Owner.SCHEDULER
    instance_id: int
    claim: Claim


class WorkerDevicesReleased(WorkerEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    instance_id: int


# --- routes ----------------------------------------------------------------------------------------


class RouteTarget(Contract):
    deployment_id: int
    weight: int = 100


class RouteEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.ROUTE
    owner: ClassVar[Owner] = Owner.API
    route_id: int

    def aggregate_id(self) -> str:
        return str(self.route_id)


class RouteCreated(RouteEvent):
    name: str
    targets: tuple[RouteTarget, ...]
    generic_proxy: bool
    categories: tuple[Category, ...] = ()
    created_model_id: int | None = None
    """The deployment that brought this route, which goes when it goes."""


class RouteChanged(RouteEvent):
    name: str
    targets: tuple[RouteTarget, ...]
    generic_proxy: bool
    categories: tuple[Category, ...] = ()
    created_model_id: int | None = None


class RouteDeleted(RouteEvent):
    name: str


# --- clusters, accounts, names ---------------------------------------------------------------------


class ClusterCreated(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.CLUSTER
    owner: ClassVar[Owner] = Owner.API
    cluster_id: int
    name: str
    description: str | None = None
    is_default: bool = False

    def aggregate_id(self) -> str:
        return str(self.cluster_id)


class UserEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.USER
    owner: ClassVar[Owner] = Owner.API
    user_id: int

    def aggregate_id(self) -> str:
        return str(self.user_id)


class UserCreated(UserEvent):
    username: str
    full_name: str | None = None
    is_admin: bool = False
    password_hash: str
    """Argon2id, PHC string."""


class UserPasswordChanged(UserEvent):
    password_hash: str


class UserDeleted(UserEvent):
    username: str


class ApiKeyEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.API_KEY
    owner: ClassVar[Owner] = Owner.API
    key_id: int
    user_id: int

    def aggregate_id(self) -> str:
        return str(self.key_id)


class ApiKeyCreated(ApiKeyEvent):
    name: str
    description: str | None = None
    access_key: str
    """The public half, by which the key is looked up: 16 hex digits."""
    secret_hash: str
    """`modelyard_runtime.keys.hash_secret`."""
    expires_at: Instant | None = None
    allowed_model_names: tuple[str, ...] | None = None
    """None allows every model; an empty list allows none."""


class ApiKeyRevoked(ApiKeyEvent):
    name: str


class NameEvent(Event):
    """A name is unique within its kind; two commands that want the same one meet on this aggregate."""

    aggregate: ClassVar[Aggregate] = Aggregate.NAME
    owner: ClassVar[Owner] = Owner.API
    kind: Aggregate
    name: str

    def aggregate_id(self) -> str:
        return name_id(self.kind, self.name)


class NameClaimed(NameEvent):
    claimed_by: int


class NameReleased(NameEvent):
    released_by: int


def name_id(kind: Aggregate, name: str) -> str:
    """The id of a name's aggregate; the name in hex, since names may hold what a subject may not."""
    return f"{kind}-{name.encode().hex()}"


EVENT_TYPES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        DeploymentRequested,
        DeploymentUpdated,
        DeploymentScaled,
        DeploymentDeleted,
        InstanceRequested,
        InstanceScheduled,
        InstanceUnschedulable,
        InstanceRestartScheduled,
        InstanceDeletionRequested,
        InstanceStopping,
        InstanceRemoved,
        InstanceDownloading,
        InstanceStarting,
        InstanceRunning,
        InstanceFailed,
        InstanceStopped,
        WorkerRegistered,
        WorkerLabelsChanged,
        WorkerMaintenanceChanged,
        WorkerDeleted,
        WorkerReady,
        WorkerInventoryChanged,
        WorkerSilent,
        WorkerRecovered,
        WorkerLost,
        WorkerDevicesReserved,
        WorkerDevicesReleased,
        RouteCreated,
        RouteChanged,
        RouteDeleted,
        ClusterCreated,
        UserCreated,
        UserPasswordChanged,
        UserDeleted,
        ApiKeyCreated,
        ApiKeyRevoked,
        NameClaimed,
        NameReleased,
    )
}
