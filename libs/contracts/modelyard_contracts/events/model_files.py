"""The models on workers' disks: what is wanted of them, and what became of them."""

import hashlib
from functools import lru_cache
from typing import ClassVar

from modelyard_contracts.base import Aggregate, Event, Owner
from modelyard_contracts.models import ModelCoordinates

ID_DIGITS = 13


class ModelFileEvent(Event):
    """One model, of one or of many files, on one worker."""

    aggregate: ClassVar[Aggregate] = Aggregate.MODEL_FILE
    worker_id: int
    model: ModelCoordinates

    def aggregate_id(self) -> str:
        return str(self.file_id)

    @property
    def file_id(self) -> int:
        return model_file_id(self.worker_id, self.model.model_id())


@lru_cache(maxsize=10_000)
def model_file_id(worker_id: int, model_id: str) -> int:
    """The same for the same model on the same worker, for ever; 52 bits, which JSON keeps exact."""
    return int(hashlib.sha256(f"{worker_id}/{model_id}".encode()).hexdigest()[:ID_DIGITS], 16)


class ModelFileRequested(ModelFileEvent):
    """Somebody wants it there before any instance needs it, or once more after a failure."""

    owner: ClassVar[Owner] = Owner.API


class ModelFileDeletionRequested(ModelFileEvent):
    owner: ClassVar[Owner] = Owner.API
    cleanup: bool
    """Delete it from the disk as well; else it is only forgotten."""


class ModelFileDownloading(ModelFileEvent):
    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    revision: str
    """The commit that is fetched, or a fingerprint where the hub has no commits."""
    size_bytes: int


class ModelFileDownloaded(ModelFileEvent):
    """All of it is there and has the checksums that the hub says."""

    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    revision: str
    size_bytes: int
    path: str
    """What a backend is given: a file or a directory of the worker."""


class ModelFileFailed(ModelFileEvent):
    """It was not downloaded; what came of it stays, to be taken up again."""

    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    message: str


class ModelFileEvicted(ModelFileEvent):
    """It gave way to another model: nothing used it, and it was the least recently used."""

    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    made_room_for: str


class ModelFileDeleted(ModelFileEvent):
    """As somebody asked."""

    owner: ClassVar[Owner] = Owner.WORKER_AGENT
