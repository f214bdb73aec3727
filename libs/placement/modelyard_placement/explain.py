"""Why a demand fits nowhere: for every worker, and for every device of it, the first check that fails."""

from collections.abc import Iterator, Sequence

from modelyard_contracts.deployments import Reason

from modelyard_placement.claims import Place, Share, Sized
from modelyard_placement.filters import device_obstacle, worker_obstacle
from modelyard_placement.picture import DeviceKind, DeviceView
from modelyard_placement.room import Room
from modelyard_placement.search import Search
from modelyard_placement.sizes import gib
from modelyard_placement.strategies import may_use_ram, steps


def obstacles(search: Search) -> tuple[Reason, ...]:
    """In the order of the workers' ids."""
    counts = sorted({step.devices for step in steps(search) if step.devices and step.workers == 1})
    nearest = _Nearest(search, counts or [search.counts.world or 1])
    reasons: list[Reason] = []
    for room in search.rooms.everyone():
        stands_against = worker_obstacle(search.demand, room.worker)
        reasons += [stands_against] if stands_against else _of_worker(search, room, nearest)
    return tuple(reasons)


def _of_worker(search: Search, room: Room, nearest: "_Nearest") -> list[Reason]:
    demand = search.demand
    if demand.model is None and not demand.moved:
        return _of_ram(search, room)
    if not room.worker.devices and may_use_ram(demand):
        return _of_ram(search, room)
    unfit = {device.key: device_obstacle(demand, room.worker, device) for device in room.worker.devices}
    fit = [device for device in room.worker.devices if unfit[device.key] is None]
    reasons = [reason for reason in unfit.values() if reason is not None]
    count, sized = nearest.of(tuple(device.kind for device in fit))
    if count > len(fit):
        return [*reasons, _too_few(room, count, len(fit))]
    if isinstance(sized, str):
        return [*reasons, Reason(worker=room.worker.name, check="model", message=sized)]
    lacking = list(_of_devices(room, fit, sized))
    return [*reasons, *(lacking or _of_whole(room, fit, sized))]


class _Nearest:
    """The way of placing on one worker that asks the least of each device, by the kinds that are there."""

    def __init__(self, search: Search, counts: Sequence[int]) -> None:
        self._search, self._counts = search, counts
        self._known: dict[tuple[DeviceKind, ...], tuple[int, Sized | str]] = {}

    def of(self, kinds: tuple[DeviceKind, ...]) -> tuple[int, Sized | str]:
        """How many devices, and what is asked of them; more than there are, if there are too few for any."""
        if kinds not in self._known:
            self._known[kinds] = self._found(sorted(kinds, key=lambda kind: -kind.total_bytes))
        return self._known[kinds]

    def _found(self, kinds: Sequence[DeviceKind]) -> tuple[int, Sized | str]:
        found: tuple[int, Sized | str] = self._counts[0], ""
        for count in self._counts:
            if count > len(kinds):
                break
            sized = self._search.sizer.size(self._search.demand, Place(tuple(kinds[:count])))
            known = found[1]
            if isinstance(known, str) or (not isinstance(sized, str) and _asked(sized) < _asked(known)):
                found = count, sized
        return found


def _asked(sized: Sized) -> int:
    return max((share.asked_bytes for share in sized.shares), default=0)


def _of_devices(room: Room, fit: Sequence[DeviceView], sized: Sized) -> Iterator[Reason]:
    roomiest = sorted(fit, key=lambda device: (-room.free[device.key], device.index))
    smallest = min(sized.shares, key=lambda share: share.asked_bytes)
    shares = dict(zip((device.key for device in roomiest), sized.shares, strict=False))
    for device in fit:
        share = shares.get(device.key, smallest)
        if share.asked_bytes > room.free[device.key]:
            yield vram_reason(room, device, share)


def _of_whole(room: Room, fit: Sequence[DeviceView], sized: Sized) -> Iterator[Reason]:
    """What stands against the worker though each of its devices has room."""
    if sized.ram_bytes[0] > room.ram_free:
        yield ram_reason(room, sized.ram_bytes[0])
        return
    needed = sum(share.asked_bytes for share in sized.shares)
    free = sum(max(room.free[device.key], 0) for device in fit)
    message = f"the devices of {room.worker.name} have {gib(free)} free together, {gib(needed)} are needed"
    yield Reason(worker=room.worker.name, check="group", needed=needed, available=free, message=message)


def _of_ram(search: Search, room: Room) -> list[Reason]:
    sized = search.sizer.size(search.demand, Place(()))
    if isinstance(sized, str):
        return [Reason(worker=room.worker.name, check="model", message=sized)]
    return [ram_reason(room, sized.ram_bytes[0])]


def vram_reason(room: Room, device: DeviceView, share: Share) -> Reason:
    needed, free, name = share.asked_bytes, max(room.free[device.key], 0), room.worker.name
    has = f"{device.key} of {name} has {gib(free)} of {gib(device.total_bytes)} free"
    if device.foreign_bytes:
        has += f" ({gib(device.foreign_bytes)} are held by other processes)"
    if share.asked_bytes > share.claim_bytes:
        message = f"{has}, of which the backend takes {gib(share.claim_bytes)}; {gib(needed)} are needed"
    else:
        message = f"{has}, {gib(needed)} are needed"
    return Reason(
        worker=name, device=device.key, check="vram", needed=needed, available=free, message=message
    )


def ram_reason(room: Room, needed: int) -> Reason:
    free, name = max(room.ram_free, 0), room.worker.name
    message = f"{name} has {gib(free)} of memory free, {gib(needed)} are needed"
    return Reason(worker=name, check="ram", needed=needed, available=free, message=message)


def _too_few(room: Room, needed: int, available: int) -> Reason:
    name = room.worker.name
    message = f"{name} has {available} devices that would do, {needed} are needed"
    return Reason(worker=name, check="devices", needed=needed, available=available, message=message)
