"""What the api keeps of a model on a worker's disk: whether it is known, and what is wanted of it."""

from dataclasses import dataclass, replace
from typing import Any

from modelyard_contracts.commands import ModelFileCreate
from modelyard_contracts.deployments import Source
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    ModelFileDeleted,
    ModelFileDeletionRequested,
    ModelFileDownloaded,
    ModelFileEvicted,
    ModelFileFailed,
    ModelFileRequested,
)
from modelyard_contracts.models import ModelCoordinates

from modelyard_api.domain.errors import conflict


@dataclass(frozen=True, slots=True)
class ModelFile:
    worker_id: int
    model: ModelCoordinates
    seq: int
    gone: bool = False
    failed: bool = False
    deletion_requested: bool = False


def evolve(state: ModelFile | None, event: Recorded[Any]) -> ModelFile:
    data = event.data
    if state is None or state.gone:
        state = ModelFile(data.worker_id, data.model, event.seq)
    state = replace(state, seq=event.seq)
    match data:
        case ModelFileDeletionRequested():
            return replace(state, deletion_requested=True)
        case ModelFileRequested() | ModelFileDownloaded():
            return replace(state, failed=False, deletion_requested=False)
        case ModelFileFailed():
            return replace(state, failed=True)
        case ModelFileEvicted() | ModelFileDeleted():
            return replace(state, gone=True)
        case _:
            return state


def coordinates(command: ModelFileCreate) -> ModelCoordinates:
    of_hub = command.source is Source.HUGGINGFACE
    return ModelCoordinates(
        source=command.source,
        repo=(command.huggingface_repo_id if of_hub else command.model_scope_model_id) or "",
        file=command.huggingface_filename if of_hub else command.model_scope_file_path,
        revision=command.revision,
    )


def decide_request(worker_id: int, model: ModelCoordinates, state: ModelFile | None) -> ModelFileRequested:
    """Raises `Refusal` (409)."""
    if state is not None and not state.gone and not state.deletion_requested:
        raise conflict(
            f"{model.location()} is on worker {worker_id} already, or on its way there: "
            "POST /v2/model-files/{id}/reset tries a failed download again"
        )
    return ModelFileRequested(worker_id=worker_id, model=model)
