"""Instances as `/v2/model-instances` shows them."""

from collections.abc import Callable
from typing import Any

from modelyard_contracts.base import Aggregate, Event, utc
from modelyard_contracts.companions import companions_of
from modelyard_contracts.deployments import Source
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    InstanceDownloading,
    InstanceFailed,
    InstanceGivenUp,
    InstanceMemberPrepared,
    InstanceMemberStarted,
    InstanceMemoryMeasured,
    InstanceRemoved,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceRunning,
    InstanceScheduled,
    InstanceStarting,
    InstanceStopped,
    InstanceStopping,
    InstanceUnready,
    InstanceUnschedulable,
    model_number,
)
from modelyard_contracts.models import ModelCoordinates, at_file, coordinates_of
from modelyard_eventlog.log import AnyRecorded

from modelyard_api.projections.claims import NOT_YET, devices_view, distributed_view, members_view, taken_view
from modelyard_api.projections.rows import (
    BASE_SORTABLE,
    ReadModel,
    Row,
    View,
    affected,
    changed,
    created,
    noted,
    removed,
    table_of,
)

INSTANCES = ReadModel(
    resource="model-instances",
    aggregate=Aggregate.INSTANCE,
    id_field="instance_id",
    columns={
        "name": "text",
        "model_id": "int",
        "model_name": "text",
        "cluster_id": "int",
        "worker_id": "int",
        "worker_name": "text",
        "state": "text",
        "restart_count": "int",
    },
    sortable=BASE_SORTABLE | {"name", "model_name", "worker_name", "state", "restart_count"},
)
TABLE = table_of(INSTANCES)

STATES = (
    "pending",
    "analyzing",
    "scheduled",
    "downloading",
    "starting",
    "running",
    "error",
    "stopping",
    "unreachable",
)
NOT_SERVING: View = {"worker_ip": None, "pid": None, "port": None, "ports": []}


def fold(event: AnyRecorded, row: Row | None) -> Row | None:
    if isinstance(event.data, InstanceRequested):
        hidden = {"model_facts_id": model_number(coordinates_of(event.data.spec).model_id())}
        return created(event, event.data.instance_id, _requested(event.data), hidden)
    if row is None:
        return None
    if isinstance(event.data, InstanceRemoved):
        return removed(event, row)
    change = CHANGES.get(type(event.data))
    if change is None:
        return noted(event, row)
    return changed(event, row, change(event, row.view), hidden={})


def running(row: Row | None) -> int:
    """1 if this instance counts as ready."""
    return int(row is not None and row.removed_at is None and row.view["state"] == "running")


def analyzed(event: AnyRecorded, row: Row) -> Row:
    """The instance once its model is known."""
    return affected(event, row, {"state": "pending"}, hidden={}) if row.view["state"] == "analyzing" else row


def lost(event: AnyRecorded, row: Row) -> Row:
    """The instance after its worker was lost; what it was is kept, should the worker return."""
    if row.view["state"] in ("unreachable", "stopping"):
        return row
    before = {"state": row.view["state"], "state_message": row.view["state_message"]}
    view = {"state": "unreachable", "state_message": f"worker {row.view['worker_name']} is lost"}
    return affected(event, row, view, hidden={"before": before})


def back(event: AnyRecorded, row: Row) -> Row:
    """The instance after its worker came back."""
    if row.view["state"] != "unreachable":
        return row
    return affected(event, row, row.hidden["before"], hidden={})


def _requested(data: InstanceRequested) -> View:
    spec = data.spec.model_dump(mode="json")
    return {
        "name": data.name,
        "model_id": data.deployment_id,
        "model_name": data.deployment_name,
        "cluster_id": data.cluster_id,
        "source": spec["source"],
        "huggingface_repo_id": spec["huggingface_repo_id"],
        "huggingface_filename": spec["huggingface_filename"],
        "model_scope_model_id": spec["model_scope_model_id"],
        "model_scope_file_path": spec["model_scope_file_path"],
        "local_path": spec["local_path"],
        "revision": spec["revision"],
        "model_file": None,
        "source_index": coordinates_of(data.spec).model_id(),
        "companion_source_indexes": [at.model_id() for _, at in companions_of(data.spec)],
        "download_progress": 0.0,
        "worker_id": None,
        "worker_name": None,
        **NOT_SERVING,
        "state": "analyzing",
        "state_message": None,
        "attempt": 0,
        "restart_count": 0,
        "last_restart_time": None,
        "failure_cause": None,
        "given_up": False,
        "gpu_type": None,
        "gpu_indexes": [],
        "computed_resource_claim": None,
        "measured_memory": None,
        "distributed_servers": None,
        "backend": spec["backend"],
        "backend_version": None,
        "injected_backend_parameters": [],
        "command": [],
    }


def _scheduled(event: Recorded[InstanceScheduled], _: View) -> View:
    return {
        "state": "scheduled",
        "state_message": None,
        "worker_id": event.data.worker_id,
        "worker_name": event.data.worker_name,
        **devices_view(event.data.claim),
        "distributed_servers": distributed_view(event.data.subordinates),
    }


def of_file(row: Row, file: str) -> Row:
    """The instance that serves this GGUF model of its repository."""
    view = row.view
    said = ModelCoordinates(
        source=Source(view["source"]),
        repo=view["huggingface_repo_id"] or view["model_scope_model_id"] or view["local_path"],
        revision=view["revision"],
    )
    served = {"model_file": file, "source_index": at_file(said, file).model_id()}
    return row._replace(view={**view, **served})


def _unschedulable(event: Recorded[InstanceUnschedulable], _: View) -> View:
    return {"state": "pending", "state_message": event.data.message}


def _restart_scheduled(event: Recorded[InstanceRestartScheduled], view: View) -> View:
    at = utc(event.data.restart_at)
    cause = view["state_message"] or "it failed"
    return {
        "state": "error",
        "state_message": f"{cause}; start {event.data.attempt + 1} comes at {at}",
        "restart_count": view["restart_count"] + 1,
        "last_restart_time": at,
    }


def _given_up(event: Recorded[InstanceGivenUp], view: View) -> View:
    times = "" if event.data.failures == 1 else f" after {event.data.failures} failures in a row"
    message = f"{view['state_message'] or 'it failed'}; not started again{times}"
    return {"state": "error", "state_message": message, "given_up": True}


def _stopping(event: Recorded[InstanceStopping], _: View) -> View:
    return {"state": "stopping", "state_message": event.data.reason.replace("_", " ")}


def _downloading(event: Recorded[InstanceDownloading], _: View) -> View:
    return {
        **NOT_SERVING,
        "state": "downloading",
        "state_message": f"downloading {event.data.source}",
        "failure_cause": None,
        "attempt": event.data.attempt,
        "download_progress": 0.0,
    }


def _starting(event: Recorded[InstanceStarting], view: View) -> View:
    return {
        **NOT_SERVING,
        "state": "starting",
        "state_message": None,
        "failure_cause": None,
        "download_progress": 100.0,
        "attempt": event.data.attempt,
        "pid": event.data.pid,
        "backend": event.data.backend or view["backend"],
        "backend_version": event.data.backend_version,
        "injected_backend_parameters": list(event.data.injected),
        "command": list(event.data.command),
    }


def _running(event: Recorded[InstanceRunning], _: View) -> View:
    return {
        "state": "running",
        "state_message": None,
        "attempt": event.data.attempt,
        "worker_ip": event.data.host,
        "pid": event.data.pid,
        "port": event.data.port,
        "ports": [event.data.port],
        "backend_version": event.data.backend_version,
    }


def _unready(event: Recorded[InstanceUnready], _: View) -> View:
    return {
        **NOT_SERVING,
        "state": "starting",
        "state_message": f"{event.data.message}; no requests go to it",
    }


def _member_prepared(event: Recorded[InstanceMemberPrepared], view: View) -> View:
    change = {"state": "prepared", "worker_ip": event.data.address}
    return _with_member(view, change, event.data.worker_id)


def _member_started(event: Recorded[InstanceMemberStarted], view: View) -> View:
    return _with_member(view, {"state": "running", "pid": event.data.pid}, event.data.worker_id)


def _with_member(view: View, change: View, worker_id: int | None = None) -> View:
    return {"distributed_servers": members_view(view["distributed_servers"], change, worker_id)}


def _measured(event: Recorded[InstanceMemoryMeasured], _: View) -> View:
    data = event.data
    return {
        "measured_memory": {
            "model": data.model,
            "backend": data.backend,
            "backend_version": data.backend_version,
            "served_s": data.served_s,
            "vram": dict(data.vram_bytes),
            "ram": data.ram_bytes,
            "anonymous": data.anonymous_bytes,
            "claim": taken_view(data.claim),
            "measured_at": utc(event.time),
        }
    }


def _failed(event: Recorded[InstanceFailed], view: View) -> View:
    message = f"{event.data.cause.value.replace('_', ' ')}: {event.data.message}"
    return {
        **NOT_SERVING,
        **_with_member(view, NOT_YET),
        "state": "error",
        "state_message": message,
        "failure_cause": event.data.cause.value,
        "attempt": event.data.attempt,
    }


def _stopped(event: Recorded[InstanceStopped], _: View) -> View:
    return {**NOT_SERVING, "state": "stopping", "state_message": "its model server has ended"}


CHANGES: dict[type[Event], Callable[[Recorded[Any], View], View]] = {
    InstanceScheduled: _scheduled,
    InstanceUnschedulable: _unschedulable,
    InstanceRestartScheduled: _restart_scheduled,
    InstanceGivenUp: _given_up,
    InstanceStopping: _stopping,
    InstanceDownloading: _downloading,
    InstanceStarting: _starting,
    InstanceRunning: _running,
    InstanceUnready: _unready,
    InstanceMemberPrepared: _member_prepared,
    InstanceMemberStarted: _member_started,
    InstanceMemoryMeasured: _measured,
    InstanceFailed: _failed,
    InstanceStopped: _stopped,
}
