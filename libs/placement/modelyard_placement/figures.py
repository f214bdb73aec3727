"""How full a cluster is, and how broken up what is left."""

from collections.abc import Iterable
from dataclasses import dataclass

from modelyard_placement.room import Room


@dataclass(frozen=True, slots=True)
class Figures:
    devices: int
    idle_devices: int
    """That no instance is on."""
    idle_workers: int
    vram_total_bytes: int
    vram_free_bytes: int
    vram_utilization: float
    """The share that is claimed or held by others, 0 to 1."""
    ram_total_bytes: int
    ram_free_bytes: int
    ram_utilization: float
    fragmentation: float
    """The share of free VRAM that lies on devices which are partly taken, 0 to 1."""


def figures_of(rooms: Iterable[Room]) -> Figures:
    rooms = list(rooms)
    devices = [(device, room) for room in rooms for device in room.worker.devices]
    total = sum(device.total_bytes for device, _ in devices)
    free = sum(_free(room.free[device.key]) for device, room in devices)
    broken = sum(_free(room.free[device.key]) for device, room in devices if room.device_crowd[device.key])
    ram_total = sum(room.worker.ram_total_bytes for room in rooms)
    ram_free = sum(_free(room.ram_free) for room in rooms)
    return Figures(
        devices=len(devices),
        idle_devices=sum(not room.device_crowd[device.key] for device, room in devices),
        idle_workers=sum(not room.crowd for room in rooms),
        vram_total_bytes=total,
        vram_free_bytes=free,
        vram_utilization=_share(total - free, total),
        ram_total_bytes=ram_total,
        ram_free_bytes=ram_free,
        ram_utilization=_share(ram_total - ram_free, ram_total),
        fragmentation=_share(broken, free),
    )


def _free(size_bytes: int) -> int:
    return max(0, size_bytes)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
