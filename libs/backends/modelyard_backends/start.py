"""What is known when a model server is started, and what follows from it."""

from dataclasses import dataclass, field

from modelyard_contracts.deployments import Claim


class CannotStart(ValueError):
    """The deployment asks for something that this backend cannot do here; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Member:
    """A worker of an instance that runs on several; rank 0 is the primary."""

    address: str
    gpu_count: int
    device_addresses: tuple[str, ...] = ()
    """Of devices that have network addresses of their own, as Ascend's do."""


@dataclass(frozen=True, slots=True)
class Group:
    """`ports`: reserved on the primary before anything is started, in the order that a backend wants them."""

    members: tuple[Member, ...]
    rank: int
    ports: tuple[int, ...]
    interface: str = ""
    """Of this member, that has its address."""

    @property
    def primary(self) -> Member:
        return self.members[0]

    @property
    def own(self) -> Member:
        return self.members[self.rank]

    @property
    def gpu_count(self) -> int:
        return sum(member.gpu_count for member in self.members)

    def network_env(self) -> dict[str, str]:
        """By which NCCL and Gloo take the interface that was checked, and no other."""
        names = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
        return dict.fromkeys(names, self.interface) if self.interface else {}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter that lies on this worker. `rank` where its configuration says it."""

    name: str
    path: str
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """One start on one worker. `version` is resolved already."""

    model_path: str
    model_name: str
    host: str
    port: int
    worker_ip: str
    version: str | None
    framework: str
    """`cpu` where no device is claimed."""
    claim: Claim
    python: str = "python3"
    """That runs our own launchers."""
    directory: str = ""
    """Of the run, where files that a backend reads may be put."""
    group: Group | None = None
    adapters: tuple[Adapter, ...] = ()
    draft_path: str | None = None
    projector_path: str | None = None
    """Of a GGUF model that takes more than text."""
    vram_bytes: int = 0
    """Claimed on this worker."""

    @property
    def gpu_ids(self) -> tuple[str, ...]:
        return tuple(device.rpartition(":")[2] for device in self.claim.devices())

    @property
    def gpu_count(self) -> int:
        return len(self.claim.vram_bytes)


@dataclass(frozen=True, slots=True)
class Injection:
    """What a backend needs beside its own command: flags of ours, variables, and files by name.

    `first` is run before the server and may leave something running; `instead` is run in its place.
    """

    arguments: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What is run. `injected` and `given` are the parts of `arguments` that are ours and the user's."""

    arguments: tuple[str, ...]
    shown: tuple[str, ...]
    """The arguments with variables of the deployment named, not filled in."""
    injected: tuple[str, ...]
    given: tuple[str, ...]
    env: dict[str, str]
    """In clear, with the user's own: never shown, never logged."""
    files: dict[str, str]
