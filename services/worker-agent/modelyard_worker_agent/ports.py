"""What the handlers need from the machine and the network."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from modelyard_contracts.base import Event
from modelyard_contracts.inventory import GpuDevice
from modelyard_contracts.messages import Want
from modelyard_contracts.models import ModelCoordinates

from modelyard_worker_agent.domain.fetching import FetchPlan
from modelyard_worker_agent.domain.launching import Ask
from modelyard_worker_agent.domain.measuring import Held
from modelyard_worker_agent.domain.telemetry import DeviceReading


class JoinRefused(Exception):
    """The api said no; the message is its own."""


class ModelMissing(Exception):
    """The model cannot be had; the message says what was looked for where."""


class DownloadFailed(Exception):
    """The hub could not be reached or refused."""


class StartFailed(Exception):
    """No process could be started."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a model server listens, as it said itself."""

    host: str
    port: int
    version: str


@dataclass(frozen=True, slots=True)
class Way:
    """How a gateway gets to a model server: by the relay with a token, sealed, or straight to it."""

    host: str
    port: int
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """`mounts` are at the same paths inside, read-only; `memory_bytes` 0: no limit."""

    image: str
    port: int
    version: str
    entrypoint: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    memory_bytes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Launch:
    """What an executor starts. `directory` must be new; `files` are put there first."""

    directory: Path
    command: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    listening: "Listening | None" = None
    """Where it will listen; None: it says so itself."""
    container: Container | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """One start of a model server. `directory` holds its log and its records."""

    directory: Path
    shim_pid: int
    shim_started: int
    pid: int


class Accelerators(Protocol):
    """The devices of one kind, or of all kinds, that this machine has. Both calls may take seconds; a driver
    that is not there means that there is no device."""

    def devices(self) -> tuple[GpuDevice, ...]: ...

    def readings(self) -> tuple[DeviceReading, ...]: ...


class Memory(Protocol):
    def held_by(self, pids: Collection[int]) -> Held:
        """Blocks: some drivers take seconds."""
        ...


class Executor(Protocol):
    """Runs model servers so that they outlive the agent."""

    in_container: bool

    async def start(self, launch: Launch) -> Process:
        """Raises `StartFailed`."""
        ...

    def find(self, directory: Path) -> Process | None:
        """The process that was started with this directory, if it is still alive."""
        ...

    def alive(self, process: Process) -> bool: ...

    async def until_ended(self, process: Process) -> None:
        """Returns once it is not alive."""
        ...

    def fetching(self, directory: Path) -> bool:
        """Whether what it runs from is still being fetched: its start has not begun."""
        ...

    def listening(self, directory: Path) -> Listening | None: ...

    def status(self, directory: Path) -> int | None:
        """The exit status that was seen, negative for a signal; None if nobody saw it."""
        ...

    async def end_leftovers(self, directory: Path) -> None:
        """Kills what is left of a start whose shim is gone."""
        ...

    def runs(self, instances: Path) -> frozenset[Path]:
        """The directories below `instances` of whose runs something is there, wanted or not."""
        ...

    def pids(self, directory: Path) -> frozenset[int]:
        """Of all processes of a run."""
        ...

    def ours(self, pids: Collection[int]) -> frozenset[int]:
        """Those of the processes that belong to any instance of this machine."""
        ...

    def last_lines(self, directory: Path) -> tuple[str, ...]:
        """The end of its log."""
        ...

    def prune(self, instance: Path, *, keep: int) -> None:
        """Removes the directories of all but the last starts, and of more if their logs are large."""
        ...

    async def stop(self, process: Process, *, grace_s: float) -> bool:
        """Ends the whole process tree. True if it had to be killed."""
        ...


class Probe(Protocol):
    async def healthy(self, at: Listening, path: str | None) -> bool:
        """Without a path: whether it answers anything at all."""
        ...

    async def answers(self, at: Listening, asks: Sequence[Ask]) -> bool:
        """Whether it answers one of these requests; true if there is none to be made."""
        ...


class Connections(Protocol):
    async def open_to(self, at: Listening) -> int:
        """How many requests it may still be answering."""
        ...


class Models(Protocol):
    async def resolve(
        self, model: ModelCoordinates, downloading: Callable[[], Awaitable[None]], token: str | None = None
    ) -> Path:
        """The file or directory to serve; `downloading` is awaited once if it must be fetched first. `token`
        is shown to the hub in place of the configured one.

        Raises `ModelMissing`, `DownloadFailed`.
        """
        ...


class ModelNews(Protocol):
    """Hears what becomes of the models on this machine."""

    def downloading(self, model: ModelCoordinates, plan: FetchPlan) -> None: ...

    def downloaded(self, model: ModelCoordinates, plan: FetchPlan, served: Path) -> None: ...

    def failed(self, model: ModelCoordinates, why: str) -> None: ...

    def evicted(self, model: ModelCoordinates, to_make_room_for: ModelCoordinates) -> None: ...

    def deleted(self, model: ModelCoordinates) -> None: ...


class Shelf(Protocol):
    """The models on this machine's disk, whoever wants them."""

    async def prefetch(self, model: ModelCoordinates, token: str | None = None) -> None:
        """`token` stands in for the worker's own. Raises `ModelMissing`, `DownloadFailed`."""
        ...

    async def delete(self, model: ModelCoordinates, *, cleanup: bool) -> bool:
        """False while it is in use: then nothing was done."""
        ...


class Reports(Protocol):
    async def say(self, event: Event, *, of: Want, ident: str) -> None:
        """Keeps a fact on disk until the log's side has it. The same `ident` is said once."""
        ...
