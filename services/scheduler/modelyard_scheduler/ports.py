"""What the scheduler's handlers need from the outside."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from modelyard_contracts.messages import FileWant, Observation, Want
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_placement.demand import PathSaid


class Wants(Protocol):
    async def put(self, want: Want) -> None: ...

    async def forget(self, worker_id: int, instance_id: int) -> None: ...

    async def read_all(self) -> dict[tuple[int, int], Want]: ...


class FileWants(Protocol):
    async def put_file(self, want: FileWant) -> None: ...

    async def forget_file(self, worker_id: int, file_id: int) -> None: ...

    async def read_files(self) -> dict[tuple[int, int], FileWant]: ...


class Alarm(Protocol):
    async def set(self, name: str, at: datetime) -> None: ...


class Paths(Protocol):
    async def ask(self, path: str, worker_ids: Collection[int]) -> Mapping[int, PathSaid]:
        """What each worker says of the path; all are asked at once."""
        ...


class NotInspected(Exception):
    """A model could not be looked at; the message is for people."""


class Models(Protocol):
    async def inspect(
        self, coordinates: ModelCoordinates, sealed_token: str | None, worker_ids: Collection[int]
    ) -> ModelFacts:
        """Looks at a model at its source, in bounded time; `sealed_token` is the deployment's own for the
        hub. Workers are asked of a path that is not here.
        Raises `NotInspected`."""
        ...


class Inspections(Protocol):
    def placeable(self, instance_ids: Iterable[int]) -> list[int]:
        """Those whose models are known: their own, their adapters and their draft model."""
        ...


class Turn(Protocol):
    """Which of several schedulers is at work (`modelyard_eventlog.leases.Lease`)."""

    position: int

    async def take(self) -> None: ...

    async def keep(self) -> None: ...

    async def release(self) -> None: ...


class Shelf(Protocol):
    """Where the last snapshot is kept (`modelyard_eventlog.snapshots.Snapshots`)."""

    async def read(self) -> bytes | None: ...

    async def write(self, data: bytes) -> None: ...


class Observed(Protocol):
    @property
    def seq(self) -> int: ...

    @property
    def observations(self) -> Sequence[Observation]: ...


class Hearing(Protocol):
    def follow(self, after: int) -> AsyncIterator[Observed]:
        """What agents state beyond `after`, in order, without end."""
        ...
