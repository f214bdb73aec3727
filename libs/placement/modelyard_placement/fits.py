"""Whether and how one worker can take an instance (or its part of one): the devices, and the room of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelyard_contracts.deployments import PlacementStrategy

from modelyard_placement.claims import Place, Sized, Sizer
from modelyard_placement.demand import Demand
from modelyard_placement.filters import device_obstacle
from modelyard_placement.picture import DeviceKind, DeviceView
from modelyard_placement.room import Room
from modelyard_placement.scores import SPREAD

ROUNDED_BYTES = 256 * 1024**2
"""Room is rounded down to it before layers are dealt out, so that estimates are met again."""


@dataclass(frozen=True, slots=True)
class Fit:
    room: Room
    devices: tuple[str, ...]
    sized: Sized


def usable(demand: Demand, room: Room, devices: Iterable[DeviceView]) -> list[DeviceView]:
    return [device for device in devices if device_obstacle(demand, room.worker, device) is None]


def equal_devices(
    demand: Demand, policy: PlacementStrategy, room: Room, kind: DeviceKind, count: int, sized: Sized
) -> Fit | None:
    """`count` devices of one kind, each with room for the largest share."""
    least = max(share.free_bytes for share in sized.shares)
    frees = room.frees(kind)
    if len(frees) < count or frees[count - 1] < least or not ram_suffices(room, sized, count):
        return None
    with_room = [device for device in room.devices_of(kind) if room.free[device.key] >= least]
    if demand.gpu_ids:
        with_room = usable(demand, room, with_room)
    if len(with_room) < count:
        return None
    return Fit(room, in_order(best_of(demand, policy, room, with_room)[:count]), sized)


def mixed_devices(
    demand: Demand,
    room: Room,
    device_type: str,
    count: int,
    sizer: Sizer,
    *,
    offload_layers: int | None = None,
) -> Fit | None:
    """The `count` roomiest devices of a type, whatever their sizes."""
    devices = [device for device in room.worker.devices if device.type == device_type]
    devices = sorted(usable(demand, room, devices), key=lambda d: (-room.free[d.key], d.index))[:count]
    if len(devices) < count or room.free[devices[-1].key] < 0:
        return None
    devices.sort(key=lambda device: device.index)
    sized = sizer.size(demand, place_of(demand, room, devices, offload_layers))
    if isinstance(sized, str) or not sized.fits or not devices_suffice(room, devices, sized):
        return None
    if not ram_suffices(room, sized, count):
        return None
    return Fit(room, tuple(device.key for device in devices), sized)


def place_of(
    demand: Demand, room: Room, devices: Sequence[DeviceView], offload_layers: int | None = None
) -> Place:
    """As an estimate sees these devices of one worker."""
    frees = None
    if demand.rules.splits_by_room and len(devices) > 1:
        frees = tuple(room.free[device.key] // ROUNDED_BYTES * ROUNDED_BYTES for device in devices)
    return Place(
        kinds=tuple(device.kind for device in devices),
        free_bytes=frees,
        offload_layers=offload_layers,
        is_unified_memory=room.worker.is_unified_memory,
    )


def devices_suffice(room: Room, devices: Sequence[DeviceView], sized: Sized) -> bool:
    return all(
        share.free_bytes <= room.free[device.key] for device, share in zip(devices, sized.shares, strict=True)
    )


def ram_suffices(room: Room, sized: Sized, count: int, worker: int = 0) -> bool:
    return ram_needed(room, sized, count, worker) <= room.ram_free


def ram_needed(room: Room, sized: Sized, count: int, worker: int = 0) -> int:
    """Unified memory is counted once: what devices take of it is not there for the rest."""
    on_devices = sum(share.free_bytes for share in sized.shares[:count])
    return sized.ram_bytes[worker] + (on_devices if room.worker.is_unified_memory else 0)


def best_of(
    demand: Demand, policy: PlacementStrategy, room: Room, devices: Iterable[DeviceView]
) -> list[DeviceView]:
    if policy is not SPREAD:
        return sorted(devices, key=lambda device: (room.free[device.key], device.index))
    return sorted(
        devices,
        key=lambda device: (
            room.same_on(device.key, demand.deployment),
            room.device_crowd[device.key],
            -room.free[device.key],
            device.index,
        ),
    )


def in_order(devices: Iterable[DeviceView]) -> tuple[str, ...]:
    return tuple(device.key for device in sorted(devices, key=lambda device: (device.type, device.index)))
