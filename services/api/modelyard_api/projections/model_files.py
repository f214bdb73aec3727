"""Models on workers' disks as `/v2/model-files` shows them."""

from collections.abc import Sequence

from modelyard_contracts.base import Aggregate
from modelyard_contracts.deployments import Source
from modelyard_contracts.events import (
    ModelFileDeleted,
    ModelFileDeletionRequested,
    ModelFileDownloaded,
    ModelFileDownloading,
    ModelFileEvent,
    ModelFileEvicted,
    ModelFileFailed,
    ModelFileRequested,
)
from modelyard_contracts.models import ModelCoordinates
from modelyard_contracts.telemetry import Download, Telemetry
from modelyard_eventlog.log import AnyRecorded

from modelyard_api.projections.rows import (
    BASE_SORTABLE,
    ReadModel,
    Row,
    View,
    changed,
    created,
    noted,
    removed,
    table_of,
)

MODEL_FILES = ReadModel(
    resource="model-files",
    aggregate=Aggregate.MODEL_FILE,
    id_field="file_id",
    columns={"name": "text", "worker_id": "int", "source": "text", "state": "text", "size": "int"},
    sortable=BASE_SORTABLE | {"name", "worker_id", "state", "size"},
)
TABLE = table_of(MODEL_FILES)

MOST_UNTIL_READY = 99.0
"""Per cent: what is there must still be checked."""


def fold(event: AnyRecorded, row: Row | None) -> Row | None:
    data: ModelFileEvent = event.data
    if isinstance(data, ModelFileEvicted | ModelFileDeleted):
        return None if row is None else removed(event, row)
    view = _changes(data)
    if row is not None:
        return changed(event, row, view) if view else noted(event, row)
    return created(event, data.file_id, {**_requested(data), **view})


def _requested(data: ModelFileEvent) -> View:
    model = data.model
    return {
        "name": model.location(),
        **_source(model),
        "revision": model.revision,
        "source_index": model.model_id(),
        "worker_id": data.worker_id,
        "cleanup_on_delete": True,
        "local_dir": None,
        "size": None,
        "commit": None,
        "resolved_paths": [],
        "download_progress": 0.0,
        "downloaded_bytes": None,
        "download_speed": None,
        "download_remaining_s": None,
        "state": "downloading",
        "state_message": None,
    }


def _source(model: ModelCoordinates) -> View:
    of_hub = model.source is Source.HUGGINGFACE
    of_scope = model.source is Source.MODEL_SCOPE
    return {
        "source": model.source.value,
        "huggingface_repo_id": model.repo if of_hub else None,
        "huggingface_filename": model.file if of_hub else None,
        "model_scope_model_id": model.repo if of_scope else None,
        "model_scope_file_path": model.file if of_scope else None,
        "local_path": None,
    }


def _changes(data: ModelFileEvent) -> View:
    match data:
        case ModelFileRequested():
            return {"state": "downloading", "state_message": "its worker is to fetch it"}
        case ModelFileDeletionRequested():
            return {"state_message": "to be deleted once nothing uses it"}
        case ModelFileDownloading():
            fetched = {"size": data.size_bytes, "commit": data.revision}
            return {"state": "downloading", "state_message": None, **fetched}
        case ModelFileDownloaded():
            return {
                "state": "ready",
                "state_message": None,
                "download_progress": 100.0,
                "size": data.size_bytes,
                "commit": data.revision,
                "resolved_paths": [data.path],
            }
        case ModelFileFailed():
            return {"state": "error", "state_message": data.message}
        case _:
            return {}


def lost_with_its_worker(event: AnyRecorded, row: Row) -> Row:
    return row._replace(changed_seq=event.seq, removed_at=event.time)


def coming(view: View, telemetry: Telemetry | None) -> View:
    """The file's view, with how far its download is right now."""
    found = downloads_of([view["source_index"]], telemetry)
    if view["state"] != "downloading" or not found:
        return view
    download = found[0]
    return {
        **view,
        "size": download.total_bytes or view["size"],
        "download_progress": progress_of(found),
        "downloaded_bytes": download.done_bytes,
        "download_speed": download.bytes_per_s,
        "download_remaining_s": download.remaining_s,
    }


def progress_of(downloads: Sequence[Download]) -> float:
    """Per cent of all of them together."""
    total_bytes = sum(each.total_bytes for each in downloads)
    if not total_bytes:
        return 0.0
    done_bytes = sum(each.done_bytes for each in downloads)
    return min(round(100 * done_bytes / total_bytes, 2), MOST_UNTIL_READY)


def downloads_of(model_ids: Sequence[str], telemetry: Telemetry | None) -> list[Download]:
    downloads = telemetry.downloads if telemetry is not None else ()
    return [each for each in downloads if each.model_id in model_ids]
