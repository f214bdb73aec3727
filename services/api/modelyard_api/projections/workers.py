"""Workers as `/v2/workers` shows them."""

from collections.abc import Callable
from typing import Any

from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    WorkerDeleted,
    WorkerDevicesReleased,
    WorkerDevicesReserved,
    WorkerDiskRoomChanged,
    WorkerForeignMemoryChanged,
    WorkerInventoryChanged,
    WorkerLabelsChanged,
    WorkerLost,
    WorkerMaintenanceChanged,
    WorkerReady,
    WorkerRecovered,
    WorkerRegistered,
    WorkerSilent,
)
from modelyard_contracts.inventory import GpuDevice, Inventory, ModelDisk
from modelyard_eventlog.log import AnyRecorded

from modelyard_api.projections.claims import taken_view
from modelyard_api.projections.rows import (
    BASE_SORTABLE,
    ReadModel,
    Row,
    View,
    changed,
    created,
    removed,
    table_of,
)

WORKERS = ReadModel(
    resource="workers",
    aggregate=Aggregate.WORKER,
    id_field="worker_id",
    columns={
        "name": "text",
        "hostname": "text",
        "ip": "text",
        "cluster_id": "int",
        "state": "text",
        "worker_uuid": "text",
        "public_key": "text",
    },
    sortable=BASE_SORTABLE | {"name", "hostname", "ip", "state"},
)
TABLE = table_of(WORKERS)

STATES = ("ready", "unknown", "not_ready", "maintenance")
Parts = tuple[View, dict[str, Any]]
"""What an event replaces in the view and in hidden."""


def fold(event: AnyRecorded, row: Row | None) -> Row | None:
    if isinstance(event.data, WorkerRegistered):
        return _registered(event, event.data, row)
    if row is None:
        return None
    if isinstance(event.data, WorkerDeleted):
        return removed(event, row)
    view, hidden = CHANGES[type(event.data)](event, row)
    hidden = {**row.hidden, **hidden}
    view = {**row.view, **view}
    return changed(event, row, {**view, **_state(view, hidden), **_allocated(view, hidden)}, hidden)


def reachable(row: Row) -> bool:
    return bool(row.hidden["presence"] != "lost")


def gpu_count(row: Row | None) -> int:
    return 0 if row is None or row.removed_at else len(row.view["status"]["gpu_devices"])


def _registered(event: AnyRecorded, data: WorkerRegistered, row: Row | None) -> Row:
    identity = {"worker_uuid": data.worker_uuid, "public_key": data.public_key}
    view: View = {
        "name": data.name,
        "hostname": data.hostname,
        "labels": data.labels,
        "cluster_id": data.cluster_id,
    }
    if row is not None:
        return changed(event, row, view, {**row.hidden, **identity})
    hidden: dict[str, Any] = {**identity, "presence": "never_seen", "last_seen": None, "claims": {}}
    view |= {
        "ip": None,
        "maintenance": {"enabled": False, "message": None, "drain": False},
        "worker_version": None,
        "status": {
            "cpu": {"total": 0},
            "memory": {"total": 0, "allocated": 0},
            "filesystem": [],
            "gpu_devices": [],
        },
    }
    return created(event, data.worker_id, {**view, **_state(view, hidden)}, hidden)


def _state(view: View, hidden: dict[str, Any]) -> View:
    last_seen = hidden["last_seen"]
    state, message = {
        "never_seen": ("not_ready", "its agent has not reported yet"),
        "lost": ("not_ready", f"lost: no heartbeat since {last_seen}; its instances are replaced elsewhere"),
        "silent": ("unknown", f"no heartbeat since {last_seen}; its instances keep their routes"),
        "present": ("ready", None),
    }[hidden["presence"]]
    if view["maintenance"]["enabled"]:
        return {"state": "maintenance", "state_message": view["maintenance"]["message"] or message}
    return {"state": state, "state_message": message}


def _allocated(view: View, hidden: dict[str, Any]) -> View:
    claims = hidden["claims"].values()
    devices = []
    for device in view["status"]["gpu_devices"]:
        key = f"{device['type']}:{device['index']}"
        taken = sum(claim["vram"].get(key, 0) for claim in claims)
        devices.append({**device, "memory": {**device["memory"], "allocated": taken}})
    memory = {**view["status"]["memory"], "allocated": sum(claim["ram"] for claim in claims)}
    return {"status": {**view["status"], "memory": memory, "gpu_devices": devices}}


def _labels(event: Recorded[WorkerLabelsChanged], _: Row) -> Parts:
    return {"labels": event.data.labels}, {}


def _maintenance(event: Recorded[WorkerMaintenanceChanged], _: Row) -> Parts:
    said = event.data
    return {"maintenance": {"enabled": said.enabled, "message": said.message, "drain": said.drain}}, {}


def _ready(event: Recorded[WorkerReady], _: Row) -> Parts:
    view = {"ip": event.data.address, "worker_version": event.data.agent_version}
    return view, {"presence": "present", "last_seen": None}


def _inventory(event: Recorded[WorkerInventoryChanged], row: Row) -> Parts:
    return {"status": _status(row.view["name"], event.data.inventory, row.hidden.get("disk_room"))}, {}


def _silent(event: Recorded[WorkerSilent], _: Row) -> Parts:
    return {}, {"presence": "silent", "last_seen": event.data.last_seen.isoformat(timespec="seconds")}


def _lost(event: Recorded[WorkerLost], _: Row) -> Parts:
    return {}, {"presence": "lost", "last_seen": event.data.last_seen.isoformat(timespec="seconds")}


def _recovered(_: Recorded[WorkerRecovered], __: Row) -> Parts:
    return {}, {"presence": "present", "last_seen": None}


def _reserved(event: Recorded[WorkerDevicesReserved], row: Row) -> Parts:
    claim = taken_view(event.data.claim)
    return {}, {"claims": {**row.hidden["claims"], str(event.data.instance_id): claim}}


def _released(event: Recorded[WorkerDevicesReleased], row: Row) -> Parts:
    gone = str(event.data.instance_id)
    return {}, {"claims": {ident: claim for ident, claim in row.hidden["claims"].items() if ident != gone}}


def _foreign(event: Recorded[WorkerForeignMemoryChanged], row: Row) -> Parts:
    held, status = event.data.vram_bytes, row.view["status"]
    sizes = [held.get(f"{device['type']}:{device['index']}", 0) for device in status["gpu_devices"]]
    devices = [
        {**device, "unmanaged": {"memory": size, "processes": []}}
        for device, size in zip(status["gpu_devices"], sizes, strict=True)
    ]
    return {"status": {**status, "gpu_devices": devices}}, {}


def _disk_room(event: Recorded[WorkerDiskRoomChanged], row: Row) -> Parts:
    status = row.view["status"]
    disks = [{**disk, "available": event.data.room_bytes} for disk in status.get("filesystem", ())]
    return {"status": {**status, "filesystem": disks}}, {"disk_room": event.data.room_bytes}


CHANGES: dict[type[Event], Callable[[Recorded[Any], Row], Parts]] = {
    WorkerLabelsChanged: _labels,
    WorkerMaintenanceChanged: _maintenance,
    WorkerReady: _ready,
    WorkerInventoryChanged: _inventory,
    WorkerSilent: _silent,
    WorkerLost: _lost,
    WorkerRecovered: _recovered,
    WorkerDevicesReserved: _reserved,
    WorkerDevicesReleased: _released,
    WorkerForeignMemoryChanged: _foreign,
    WorkerDiskRoomChanged: _disk_room,
}


def _status(worker_name: str, inventory: Inventory, disk_room: int | None) -> View:
    """What telemetry tells is open here: see `projections.worker_use`."""
    return {
        "os": {"name": inventory.os},
        "kernel": {"release": inventory.kernel, "architecture": inventory.architecture},
        "cpu": {"total": inventory.cpu_count, "utilization_rate": None},
        "memory": {
            "total": inventory.memory_total_bytes,
            "reserved": inventory.reserved_ram_bytes,
            "used": None,
            "utilization_rate": None,
            "is_unified_memory": inventory.is_unified_memory,
        },
        "filesystem": [_disk(inventory.model_disk, disk_room)] if inventory.model_disk else [],
        "gpu_devices": [_device(worker_name, device) for device in inventory.gpu_devices],
        "backends": inventory.backends,
    }


def _disk(disk: ModelDisk, room: int | None) -> View:
    """`available`: what further models may take of it."""
    return {
        "name": "models",
        "mount_point": disk.mount_point,
        "total": disk.total_bytes,
        "quota": disk.quota_bytes,
        "used": None,
        "free": None,
        "available": room,
    }


def _device(worker_name: str, device: GpuDevice) -> View:
    apart = {"memory_total_bytes", "is_unified_memory", "power_limit_w"}
    return {
        "id": f"{worker_name}:{device.key}",
        **device.model_dump(mode="json", exclude=apart),
        "memory": {
            "total": device.memory_total_bytes,
            "used": None,
            "utilization_rate": None,
            "is_unified_memory": device.is_unified_memory,
        },
        "core": {"utilization_rate": None},
        "temperature": None,
        "power": device.power_limit_w,
        "power_used": None,
        "unmanaged": {"memory": 0, "processes": []},
    }
