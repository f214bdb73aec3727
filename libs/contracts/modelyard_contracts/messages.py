"""What services say to each other beside the log: wants, observations, heartbeats, questions.

None of these is a fact. A want is derived from facts, an observation becomes a fact once admitted, a
question is answered from what the asked side sees right now.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.base import Contract, Instant
from modelyard_contracts.deployments import Claim, DeploymentSpec
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_contracts.telemetry import Telemetry


class GroupMember(Contract):
    """A worker of an instance that runs on several, and what is known of it once it is prepared."""

    worker_id: int
    worker_name: str
    device_count: int
    address: str | None = None
    device_addresses: tuple[str, ...] = ()


class GroupWant(Contract):
    """One worker's part in an instance that runs on several. Rank 0 is the primary, which serves."""

    rank: int
    members: tuple[GroupMember, ...]
    """By rank."""
    ports: tuple[int, ...] = ()
    """On the primary, once it holds them."""
    start: bool = False
    """All are prepared, and it is this one's turn."""


class Want(Contract):
    """What one worker should do about one instance; the latest per instance counts.

    `absent` is said out loud: an agent stops a model server only when told to, never because it
    cannot find a want. `halted`: this attempt has failed elsewhere, so what is left of it is to end.
    """

    # wants outlive an upgrade: what another version says beside is passed over
    model_config = ConfigDict(frozen=True, extra="ignore")

    instance_id: int
    deployment_id: int
    worker_id: int
    name: str
    deployment_name: str
    state: Literal["running", "halted", "absent"]
    attempt: int = 0
    """Start it if the last start was an earlier attempt."""
    spec: DeploymentSpec
    claim: Claim = Claim()
    """What was reserved for it on this worker."""
    group: GroupWant | None = None
    """None: it runs on this worker alone."""
    backend: InferenceBackend | None = None
    """As it is defined now; None: as this build of the agent knows it."""
    correlation_id: str
    actor: str
    traceparent: str | None = None


class FileWant(Contract):
    """What one worker should do about one model on its disk; the latest counts, until it has said that it
    is done or failed."""

    worker_id: int
    file_id: int
    model: ModelCoordinates
    state: Literal["present", "absent"]
    cleanup: bool = True
    """Of `absent`: whether to delete it from the disk, or only to forget it."""
    wish: str
    """Differs for every wish."""
    sealed_token: str | None = Field(default=None, repr=False)
    """For the hub, of the user who wants it there; None: the worker's own serves."""
    correlation_id: str
    actor: str
    traceparent: str | None = None


class Observation(Contract):
    """A fact that an agent states. The scheduler checks it against the log and admits it."""

    id: str
    """Unique and stable across redelivery; the admitted event's command id."""
    worker_id: int
    event_type: str
    version: int
    data: dict[str, object]
    observed_at: Instant
    correlation_id: str
    causation_id: str
    actor: str
    traceparent: str | None = None


class Heartbeat(Contract):
    # as with wants: agents are not of this version all at once
    model_config = ConfigDict(frozen=True, extra="ignore")

    worker_id: int
    session: str
    sent_at: Instant
    telemetry: Telemetry | None = None
    """The last that was read; None until then."""


class PathQuestion(Contract):
    """Is this model on you? `path` is absolute; a GGUF file or a directory that holds one."""

    path: str


class PathAnswer(Contract):
    found: bool
    message: str
    file: str | None = None
    """The file a backend would be given: the first shard of a split model."""
    weight_bytes: int = 0
    architecture: str | None = None
    context_length: int | None = None
    kv_bytes_per_token: int | None = None
    facts: ModelFacts | None = None
    """As much as the log keeps of them."""


class RangeQuestion(Contract):
    """A range of a log. Without `offset`, the last `tail` lines (-1: all) are meant.

    With `wait_s`, an agent that has nothing beyond `offset` waits so long for more.
    """

    offset: int | None = None
    tail: int = -1
    wait_s: float = 0.0


class LogQuestion(RangeQuestion):
    """Of one start of an instance; without `attempt`, of the last."""

    instance_id: int
    attempt: int | None = None


class DownloadLogQuestion(RangeQuestion):
    model_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class LogAnswer(Contract):
    found: bool
    message: str = ""
    said: bytes = Field(default=b"", exclude=True, repr=False)
    """As it stands in the log. It travels beside the rest, which is JSON."""
    attempt: int = 0
    next_offset: int = 0
    more: bool = False
    """True if the file holds more right now."""
    ended: bool = False
    """True if nothing will be added: the model server of this attempt, or the download, has ended."""

    @property
    def text(self) -> str:
        return self.said.decode(errors="replace")
