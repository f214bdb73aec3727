"""Placing on GPUs chosen by hand although the room does not suffice, where the deployment insists."""

from collections.abc import Iterator, Sequence

from modelyard_contracts.deployments import Reason

from modelyard_placement.claims import Place, Share, dealt_out
from modelyard_placement.explain import ram_reason, vram_reason
from modelyard_placement.fits import Fit, place_of, usable
from modelyard_placement.picture import DeviceKind, DeviceView
from modelyard_placement.room import Room
from modelyard_placement.search import Search
from modelyard_placement.several_workers import chosen_parts, uneven_place

Part = tuple[Room, Sequence[DeviceView]]
Forced = tuple[tuple[Fit, ...], tuple[Reason, ...]]


def forced(search: Search) -> Forced | None:
    """Where the chosen devices have the most room, one worker before several; with what does not suffice."""
    most = max(search.kinds.values(), default=0)
    groups = search.counts.across(most) if search.demand.may_span else ()
    for each, workers in ((search.counts.world or 1, 1), *groups):
        alike = [parts[:workers] for parts in _alike(search, each) if len(parts) >= workers]
        options = [option for parts in alike if (option := _on(search, parts))]
        if options:
            return max(options, key=_room_left)
    return _uneven(search) if search.counts.may_be_uneven else None


def _uneven(search: Search) -> Forced | None:
    groups = (chosen_parts(search, device_type, lambda *_: True) for device_type in search.types())
    options = [option for parts in groups if parts and (option := _on(search, parts))]
    return max(options, key=_room_left, default=None)


def _alike(search: Search, each: int) -> list[list[Part]]:
    """Of each worker the roomiest chosen devices; the workers whose devices are of the same kinds together,
    the roomiest first."""
    found: dict[tuple[DeviceKind, ...], list[Part]] = {}
    for room in search.rooms.eligible(search.demand):
        chosen = usable(search.demand, room, room.worker.devices)
        chosen = sorted(chosen, key=lambda device: (-room.free[device.key], device.type, device.index))[:each]
        if len(chosen) == each and len({device.type for device in chosen}) == 1:
            chosen.sort(key=lambda device: device.index)
            found.setdefault(tuple(device.kind for device in chosen), []).append((room, chosen))
    return [sorted(parts, key=_least_room_last) for parts in found.values()]


def _least_room_last(part: Part) -> tuple[int, int]:
    room, devices = part
    return -sum(room.free[device.key] for device in devices), room.worker.ident


def _on(search: Search, parts: Sequence[Part]) -> Forced | None:
    sized = search.sizer.size(search.demand, _place(search, parts))
    if isinstance(sized, str):
        return None
    fits = tuple(Fit(room, tuple(device.key for device in devices), sized) for room, devices in parts)
    shares = dealt_out(sized.shares, [len(devices) for _, devices in parts])
    lacking = (_lacking(*one) for one in zip(parts, shares, sized.ram_bytes, strict=True))
    return fits, tuple(reason for reasons in lacking for reason in reasons)


def _place(search: Search, parts: Sequence[Part]) -> Place:
    room, devices = parts[0]
    if len(parts) == 1:
        return place_of(search.demand, room, devices)
    if len({len(devices) for _, devices in parts}) > 1:
        return uneven_place(parts)
    return Place(tuple(device.kind for device in devices), len(parts))


def _lacking(part: Part, shares: Sequence[Share], ram_bytes: int) -> Iterator[Reason]:
    room, devices = part
    for device, share in zip(devices, shares, strict=True):
        if not share.suffices(room.free[device.key]):
            yield vram_reason(room, device, share)
    if ram_bytes > room.ram_free:
        yield ram_reason(room, ram_bytes)


def _room_left(option: Forced) -> tuple[int, int]:
    fits, _ = option
    free = sum(fit.room.free[device] for fit in fits for device in fit.devices)
    return free, -fits[0].room.worker.ident
