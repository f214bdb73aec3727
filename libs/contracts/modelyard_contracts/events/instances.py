"""The life of one serving copy of a deployment."""

from typing import ClassVar, Literal

from modelyard_contracts.base import Aggregate, Contract, Event, Instant, Owner
from modelyard_contracts.deployments import Alike, Candidate, Claim, DeploymentSpec, Reason, Subordinate
from modelyard_contracts.failures import FailureCause

StopReason = Literal["scale_down", "deployment_deleted", "deletion_requested", "drained", "outdated"]
"""`drained`: its worker is to be emptied, and its replacement runs. `outdated`: it was never placed or was
given up, and the deployment has changed since."""


class InstanceEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.INSTANCE
    instance_id: int
    deployment_id: int

    def aggregate_id(self) -> str:
        return str(self.instance_id)


class PathsSaid(Contract):
    """What some workers said of the model's path."""

    found: bool
    message: str = ""
    worker_ids: tuple[int, ...]


class SourceSaid(Contract):
    """Why a source could not tell of a model."""

    field: str
    """That names the model; empty for the deployment's own."""
    message: str


class Held(Contract):
    """Workers that were kept for an older instance that waits for room."""

    instance_id: int
    instance: str
    since: Instant
    worker_ids: tuple[int, ...]


class Decision(Contract):
    """What a placement was decided on, so that it can be recomputed: policy and position in the log."""

    policy: str
    """Strategy and version, as in `spread/2`."""
    decided_at_seq: int
    candidates: int = 0
    """How many places were compared in the end."""
    strategy: str | None = None
    """The way of placing that found room, as in `one_device`; None if none did."""
    best: tuple[Candidate, ...] = ()
    """The place that was chosen, then the next best; not all of them."""
    workers: int = 0
    """How many there were in all."""
    against: tuple[Reason, ...] = ()
    """Of placements of an older version on small clusters: what stood against the other workers."""
    verdicts: tuple[Alike, ...] = ()
    """Of every worker and device: its score by part, or the first check that fails. Empty in older versions,
    and where `pages` tell of them."""
    pages: tuple[str, ...] = ()
    """The same of clusters with more than 16 workers, packed (`modelyard_placement.pages`): to the byte
    where they take up to 192 KiB so, else to the MiB or the GiB, rounded down. Where that is too much too
    (beyond 5,000 workers whose 8 devices all differ), `verdicts` tell of each worker what comes closest
    there, from the least to the most."""
    paths: tuple[PathsSaid, ...] = ()
    """What workers said of a local path; empty if it has none."""
    held: Held | None = None
    sources: tuple[SourceSaid, ...] = ()
    """What sources said of models that could not be inspected: then nothing was looked at beyond."""


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
    version: ClassVar[int] = 8
    worker_id: int
    worker_name: str
    claim: Claim
    """Of the primary worker."""
    subordinates: tuple[Subordinate, ...] = ()
    overcommits: tuple[Reason, ...] = ()
    """What does not suffice where the placement was forced."""
    decision: Decision


class InstanceUnschedulable(InstanceEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    version: ClassVar[int] = 7
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


class InstanceGivenUp(InstanceEvent):
    """It failed and is not started again."""

    owner: ClassVar[Owner] = Owner.SCHEDULER
    cause: FailureCause
    """Of its last failure."""
    failures: int
    """How many it had in a row."""


class InstanceDeletionRequested(InstanceEvent):
    """Somebody asked for this very instance to go; the scheduler replaces it if replicas demand."""

    owner: ClassVar[Owner] = Owner.API


class InstanceStopping(InstanceEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    version: ClassVar[int] = 2
    reason: StopReason


class InstanceRemoved(InstanceEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    version: ClassVar[int] = 2
    reason: StopReason | Literal["worker_lost", "worker_deleted"]
    worker_id: int | None = None


class AgentInstanceEvent(InstanceEvent):
    """What happened to an instance on the worker it was placed on."""

    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    worker_id: int
    attempt: int


class InstanceDownloading(AgentInstanceEvent):
    source: str


class InstanceStarting(AgentInstanceEvent):
    version: ClassVar[int] = 2
    pid: int
    command: tuple[str, ...]
    """The argument vector, environment left out."""
    backend: str | None = None
    backend_version: str | None = None
    """As it was resolved at this start."""
    injected: tuple[str, ...] = ()
    """The part of `command` that is neither the backend's own nor the user's."""
    image: str | None = None
    """Of the container; None for a process."""


class InstanceMemberPrepared(AgentInstanceEvent):
    """One of the workers of an instance that runs on several has all that a start takes: the model, an
    interface with its address, a way to the primary worker, which holds `ports` for the group."""

    address: str
    interface: str
    ports: tuple[int, ...] = ()
    device_addresses: tuple[str, ...] = ()
    """Of devices that have network addresses of their own."""


class InstanceMemberStarted(AgentInstanceEvent):
    """The part of it that runs on a worker beside the primary one was started."""

    pid: int
    command: tuple[str, ...]
    """The argument vector, environment left out."""
    image: str | None = None


class InstanceRunning(AgentInstanceEvent):
    """The model server answers inference at `http://{host}:{port}`. Said again when that address changes."""

    version: ClassVar[int] = 2
    host: str
    port: int
    pid: int
    backend_version: str
    startup_s: float
    relay_token: str | None = None
    """Sealed as environment values are. With it, `host` and `port` are the agent's relay, which wants the
    token in the header `X-Modelyard-Relay` of a connection's first request; without it, the model server."""


class InstanceUnready(AgentInstanceEvent):
    """A running model server does not answer: no requests should be sent to it until it is running again."""

    message: str


class InstanceMemoryMeasured(AgentInstanceEvent):
    """What its model server held after a stretch of serving, beside what was claimed for it. Once a start."""

    version: ClassVar[int] = 2
    model: str
    """As `DeploymentSpec.location()` says it."""
    backend: str
    backend_version: str
    served_s: float
    vram_bytes: dict[str, int] = {}
    """Of each device that its driver tells of: what the process tree holds."""
    ram_bytes: int | None
    """Of the process tree, its share of what it shares with others; None if it cannot be read."""
    anonymous_bytes: int | None = None
    """Of `ram_bytes`, what is no part of a file."""
    claim: Claim
    """Of this worker: the estimate with its margin."""


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
