"""Lifts the data of older event versions to today's shape, one step each. The log is never rewritten."""

from collections.abc import Callable
from typing import Any

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


def _wider(data: dict[str, Any]) -> dict[str, Any]:
    """It gained fields whose defaults say what was meant before they were there, or values."""
    return data


def _numbered_targets(data: dict[str, Any]) -> dict[str, Any]:
    """A target was known by its place."""
    targets = [{"target_id": place, **target} for place, target in enumerate(data["targets"])]
    return {**data, "targets": targets}


UPCASTERS: dict[tuple[str, int], Upcaster] = {
    ("ApiKeyCreated", 1): _wider,
    ("DeploymentRequested", 1): _wider,
    ("DeploymentUpdated", 1): _wider,
    ("InstanceMemoryMeasured", 1): _wider,
    ("InstanceRequested", 1): _wider,
    ("InstanceRunning", 1): _wider,
    ("InstanceScheduled", 1): _wider,
    ("InstanceStarting", 1): _wider,
    ("InstanceScheduled", 2): _wider,
    ("InstanceScheduled", 3): _wider,
    ("InstanceScheduled", 4): _wider,
    ("InstanceScheduled", 5): _wider,
    ("InstanceScheduled", 6): _wider,
    ("InstanceScheduled", 7): _wider,
    ("InstanceUnschedulable", 1): _wider,
    ("InstanceUnschedulable", 2): _wider,
    ("InstanceUnschedulable", 3): _wider,
    ("InstanceUnschedulable", 4): _wider,
    ("InstanceUnschedulable", 5): _wider,
    ("InstanceUnschedulable", 6): _wider,
    ("InstanceStopping", 1): _wider,
    ("InstanceRemoved", 1): _wider,
    ("RouteChanged", 1): _numbered_targets,
    ("RouteCreated", 1): _numbered_targets,
    ("RouteChanged", 2): _wider,
    ("RouteCreated", 2): _wider,
    ("ModelInspected", 1): _wider,
    ("WorkerDevicesReserved", 1): _wider,
    ("WorkerDevicesReserved", 2): _wider,
    ("WorkerInventoryChanged", 1): _wider,
    ("WorkerInventoryChanged", 2): _wider,
    ("WorkerMaintenanceChanged", 1): _wider,
}
"""Keyed by event type and the version lifted from."""


def lift(event_type: str, version: int, to_version: int, data: dict[str, Any]) -> dict[str, Any]:
    """`data` in the shape of `to_version`. Raises KeyError where a step is missing (a test forbids it)."""
    for step in range(version, to_version):
        data = UPCASTERS[event_type, step](data)
    return data
