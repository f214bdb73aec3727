"""Workers and their devices with what telemetry tells of them, and devices as a resource of their own."""

from collections.abc import Callable, Iterable
from typing import Any

from modelyard_contracts.telemetry import DeviceUse, DiskUse, Telemetry

from modelyard_api.projections.rows import View


def in_use(worker: View, telemetry: Telemetry | None) -> View:
    """The worker's view, filled in where telemetry is known."""
    if telemetry is None:
        return worker
    status = worker["status"]
    uses = {use.device: use for use in telemetry.devices}
    memory = _memory(status["memory"], telemetry.memory_used_bytes)
    devices = [_device(device, uses.get(f"{device['type']}:{device['index']}")) for device in _of(status)]
    cpu = {**status["cpu"], "utilization_rate": telemetry.cpu_percent}
    disks = [_disk(disk, telemetry.disk) for disk in status.get("filesystem", ())]
    shown = {"cpu": cpu, "memory": memory, "filesystem": disks, "gpu_devices": devices}
    return {**worker, "status": {**status, **shown}}


def devices_of(workers: Iterable[View]) -> list[View]:
    """Every device of these workers, each with whose it is."""
    return [
        {
            **device,
            "worker_id": worker["id"],
            "worker_name": worker["name"],
            "worker_ip": worker["ip"],
            "cluster_id": worker["cluster_id"],
        }
        for worker in workers
        for device in _of(worker["status"])
    ]


Filters = dict[str, Callable[[View], Any]]
DEVICE_FILTERS: Filters = {
    "worker_id": lambda view: str(view["worker_id"]),
    "worker_name": lambda view: view["worker_name"],
    "cluster_id": lambda view: str(view["cluster_id"]),
    "vendor": lambda view: view["vendor"],
    "type": lambda view: view["type"],
}
"""What a list of devices can be narrowed to, each compared as text."""


def _of(status: View) -> list[View]:
    devices: list[View] = status["gpu_devices"]
    return devices


def _device(device: View, use: DeviceUse | None) -> View:
    if use is None:
        return device
    processes = [
        {"pid": process.pid, "name": process.name, "memory": process.memory_bytes} for process in use.foreign
    ]
    return {
        **device,
        "memory": _memory(device["memory"], use.memory_used_bytes),
        "core": {"utilization_rate": use.utilization_percent},
        "temperature": use.temperature_c,
        "power_used": use.power_w,
        "unmanaged": {"memory": use.foreign_bytes, "processes": processes},
    }


def _disk(disk: View, use: DiskUse | None) -> View:
    if use is None:
        return disk
    free = max(0, disk["total"] - use.used_bytes)
    return {**disk, "used": use.used_bytes, "free": free, "available": use.room_bytes}


def _memory(memory: View, used: int) -> View:
    rate = round(100 * used / memory["total"], 2) if memory["total"] else None
    return {**memory, "used": used, "utilization_rate": rate}
