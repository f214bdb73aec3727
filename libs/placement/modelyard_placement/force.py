"""Placing on GPUs chosen by hand although the room does not suffice, where the deployment insists."""

from modelyard_contracts.deployments import Reason

from modelyard_placement.explain import ram_reason, vram_reason
from modelyard_placement.fits import Fit, in_order, place_of, usable
from modelyard_placement.room import Room
from modelyard_placement.search import Search


def forced(search: Search) -> tuple[Fit, tuple[Reason, ...]] | None:
    """On the worker where the chosen devices have the most room; with what does not suffice there."""
    count = search.counts.world or 1
    options = [
        option for room in search.rooms.eligible(search.demand) if (option := _on(search, room, count))
    ]
    return max(options, key=_room_left, default=None)


def _on(search: Search, room: Room, count: int) -> tuple[Fit, tuple[Reason, ...]] | None:
    devices = usable(search.demand, room, room.worker.devices)
    devices = sorted(devices, key=lambda device: (-room.free[device.key], device.type, device.index))[:count]
    if len(devices) < count or len({device.type for device in devices}) > 1:
        return None
    sized = search.sizer.size(search.demand, place_of(search.demand, room, devices))
    if isinstance(sized, str):
        return None
    reasons = [
        vram_reason(room, device, share)
        for device, share in zip(devices, sized.shares, strict=True)
        if share.free_bytes > room.free[device.key]
    ]
    if sized.ram_bytes[0] > room.ram_free:
        reasons.append(ram_reason(room, sized.ram_bytes[0]))
    return Fit(room, in_order(devices), sized), tuple(reasons)


def _room_left(option: tuple[Fit, tuple[Reason, ...]]) -> tuple[int, int]:
    fit, _ = option
    return sum(fit.room.free[device] for device in fit.devices), -fit.room.worker.ident
