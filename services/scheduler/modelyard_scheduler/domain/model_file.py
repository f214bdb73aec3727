"""A model on a worker's disk as the scheduler sees it: what is wanted of it, and what its agent said last."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    ModelFileDeleted,
    ModelFileDeletionRequested,
    ModelFileDownloaded,
    ModelFileDownloading,
    ModelFileEvicted,
    ModelFileFailed,
    ModelFileRequested,
)
from modelyard_contracts.messages import FileWant
from modelyard_contracts.models import ModelCoordinates

AgentFileFact = (
    ModelFileDownloading | ModelFileDownloaded | ModelFileFailed | ModelFileEvicted | ModelFileDeleted
)
ModelFileFact = ModelFileRequested | ModelFileDeletionRequested | AgentFileFact


class FilePhase(StrEnum):
    REQUESTED = "requested"
    DOWNLOADING = "downloading"
    READY = "ready"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ModelFileState:
    file_id: int
    worker_id: int
    model: ModelCoordinates
    phase: FilePhase
    seq: int
    revision: str | None = None
    want: FileWant | None = None
    """What its agent has not answered yet."""


def admits(state: ModelFileState | None, fact: AgentFileFact) -> str | None:
    """Why an agent's fact says nothing new or cannot be true; None if it can be kept."""
    match fact:
        case ModelFileDownloaded() if state is not None and state.phase is FilePhase.READY:
            known = state.revision == fact.revision and state.want is None
            return "it is known to be there" if known else None
        case ModelFileEvicted() | ModelFileDeleted() if state is None or state.phase is FilePhase.GONE:
            return None if state is not None and state.want is not None else "it was not known to be there"
        case _:
            return None


def evolve(
    state: ModelFileState | None, recorded: Recorded[ModelFileFact], sealed_token: str | None = None
) -> ModelFileState:
    """`sealed_token`: what the one who stated it keeps for the hub."""
    fact = recorded.data
    if state is None:
        state = ModelFileState(fact.file_id, fact.worker_id, fact.model, FilePhase.GONE, recorded.seq)
    state = replace(state, seq=recorded.seq)
    match fact:
        case ModelFileRequested():
            phase = state.phase if state.phase is FilePhase.READY else FilePhase.REQUESTED
            return replace(state, phase=phase, want=_want(recorded, fact, "present", sealed_token))
        case ModelFileDeletionRequested():
            return replace(state, want=_want(recorded, fact, "absent"))
        case ModelFileDownloading():
            return replace(state, phase=FilePhase.DOWNLOADING, revision=fact.revision)
        case ModelFileDownloaded():
            return replace(_had(state, "present"), phase=FilePhase.READY, revision=fact.revision)
        case ModelFileFailed():
            return replace(_had(state, "present"), phase=FilePhase.FAILED)
        case ModelFileEvicted():
            return replace(state, phase=FilePhase.GONE)
        case ModelFileDeleted():
            return replace(_had(state, "absent"), phase=FilePhase.GONE)
        case _:
            assert_never(fact)


def _want(
    recorded: Recorded[ModelFileFact],
    fact: ModelFileRequested | ModelFileDeletionRequested,
    wanted: str,
    sealed_token: str | None = None,
) -> FileWant:
    return FileWant.model_validate(
        {
            "worker_id": fact.worker_id,
            "file_id": fact.file_id,
            "model": fact.model,
            "state": wanted,
            "cleanup": isinstance(fact, ModelFileDeletionRequested) and fact.cleanup,
            "wish": recorded.id,
            "sealed_token": sealed_token,
            "correlation_id": recorded.correlation_id,
            "actor": recorded.actor,
            "traceparent": recorded.traceparent,
        }
    )


def _had(state: ModelFileState, wanted: str) -> ModelFileState:
    """Without the want that this fact answers."""
    answered = state.want is not None and state.want.state == wanted
    return replace(state, want=None) if answered else state
