"""On several workers: one group, all or nothing; of equal parts unless its GPUs were chosen by hand."""

from collections.abc import Callable, Sequence
from itertools import islice

from modelyard_placement.claims import Place, Sized, dealt_out
from modelyard_placement.fits import Fit, equal_devices, usable
from modelyard_placement.one_worker import largest_share
from modelyard_placement.picture import DeviceKind, DeviceView
from modelyard_placement.room import Room
from modelyard_placement.rooms import Metric, rank_of
from modelyard_placement.search import Found, Search, best


def on_several_workers(search: Search, each: int, workers: int) -> list[Found]:
    """`each` devices of one kind on each of so many workers, the best of them the primary one."""
    if sum(1 for _ in islice(search.rooms.everyone(), workers)) < workers:
        return []
    kinds = [kind for kind, most in search.kinds.items() if most >= each]
    groups = (_group(search, kind, each, workers) for kind in kinds)
    return best(iter((group,)) for group in groups if group is not None)


def _group(search: Search, kind: DeviceKind, each: int, workers: int) -> Found | None:
    sized = search.size(Place((kind,) * each, workers))
    if sized is None:
        return None
    part = Sized(sized.shares[:each], (max(sized.ram_bytes),))

    def fit(room: Room) -> Fit | None:
        return equal_devices(search.demand, search.policy, room, kind, each, part)

    members = list(islice(search.first(Metric("each", kind, each), largest_share(sized), fit), workers))
    if len(members) < workers:
        return None
    fits = tuple(Fit(one.fits[0].room, one.fits[0].devices, sized) for one in members)
    return Found(members[0].rank, fits)


Chosen = tuple[Room, tuple[DeviceView, ...]]


def on_chosen_workers(search: Search) -> list[Found]:
    """Those of the GPUs chosen by hand that have room, the most of one worker first, whatever is left of the
    others."""
    return best(iter(found) for kind in search.types() if (found := _of_chosen(search, kind)))


def chosen_parts(
    search: Search, device_type: str, will_do: Callable[[Room, DeviceView], bool]
) -> list[Chosen]:
    """The GPUs chosen by hand that will do, worker by worker; empty if there are too few."""
    chosen = [
        (room, tuple(d for d in usable(search.demand, room, room.worker.devices) if will_do(room, d)))
        for room in search.rooms.eligible(search.demand)
    ]
    chosen = [(room, tuple(d for d in devices if d.type == device_type)) for room, devices in chosen]
    chosen.sort(key=lambda one: (-len(one[1]), one[0].worker.ident))
    parts: list[Chosen] = []
    missing = search.counts.world or 1
    for room, devices in chosen:
        if devices and missing:
            parts.append((room, devices[:missing]))
            missing -= len(parts[-1][1])
    return [] if missing else parts


def _of_chosen(search: Search, device_type: str) -> list[Found]:
    parts = chosen_parts(search, device_type, lambda room, device: _has_room(search, room, device))
    sized = search.size(uneven_place(parts)) if parts else None
    if sized is None:
        return []
    fits = tuple(Fit(room, tuple(device.key for device in devices), sized) for room, devices in parts)
    metric = Metric("sum", device_type, len(fits[0].devices))
    rank = rank_of(fits[0].room, search.demand, search.policy, metric, 0)
    return [Found(rank, fits)] if _have_room(parts, sized) else []


def _has_room(search: Search, room: Room, device: DeviceView) -> bool:
    """For what a card of its kind would have to hold as one of a group of equals."""
    sized = search.size(Place((device.kind,), search.counts.world or 1))
    return sized is not None and largest_share(sized) <= room.free[device.key]


def uneven_place(parts: Sequence[tuple[Room, Sequence[DeviceView]]]) -> Place:
    kinds = tuple(device.kind for _, devices in parts for device in devices)
    return Place(kinds, parts=tuple(len(devices) for _, devices in parts))


def _have_room(parts: Sequence[Chosen], sized: Sized) -> bool:
    shares = dealt_out(sized.shares, [len(devices) for _, devices in parts])
    rams = all(ram <= room.ram_free for ram, (room, _) in zip(sized.ram_bytes, parts, strict=True))
    return rams and all(
        share.free_bytes <= room.free[device.key]
        for part, (room, devices) in zip(shares, parts, strict=True)
        for share, device in zip(part, devices, strict=True)
    )
