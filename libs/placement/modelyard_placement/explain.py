"""Why a demand fits nowhere: for every worker, and for every device of it, the first check that fails."""

from collections.abc import Iterator, Sequence

from modelyard_contracts.deployments import Reason

from modelyard_placement.claims import Place, Share, Sized
from modelyard_placement.filters import device_obstacle, worker_obstacle
from modelyard_placement.fits import place_of
from modelyard_placement.picture import DeviceView
from modelyard_placement.room import Room
from modelyard_placement.search import Search
from modelyard_placement.sizes import gib
from modelyard_placement.strategies import Step, may_use_ram, steps


def obstacles(search: Search) -> tuple[Reason, ...]:
    """In the order of the workers' ids."""
    plan = list(steps(search))
    reasons: list[Reason] = []
    for room in search.rooms.everyone():
        stands_against = worker_obstacle(search.demand, room.worker)
        reasons += [stands_against] if stands_against else _of_worker(search, room, plan)
    return tuple(reasons)


def _of_worker(search: Search, room: Room, plan: Sequence[Step]) -> list[Reason]:
    demand = search.demand
    if demand.model is None and not demand.moved:
        return _of_ram(search, room)
    if not room.worker.devices and may_use_ram(demand):
        return _of_ram(search, room)
    unfit = {device.key: device_obstacle(demand, room.worker, device) for device in room.worker.devices}
    fit = [device for device in room.worker.devices if unfit[device.key] is None]
    reasons = [reason for reason in unfit.values() if reason is not None]
    if not fit:
        return reasons or [_too_few(room, _least_count(plan), 0)]
    count, sized = _nearest(search, room, fit, plan)
    if isinstance(sized, str):
        return [*reasons, Reason(worker=room.worker.name, check="model", message=sized)]
    reasons += _of_devices(room, fit, sized)
    return [*reasons, *_of_whole(room, fit, count, sized, found=bool(reasons))]


def _least_count(plan: Sequence[Step]) -> int:
    return min((step.devices for step in plan if step.devices), default=1)


def _nearest(
    search: Search, room: Room, fit: Sequence[DeviceView], plan: Sequence[Step]
) -> tuple[int, Sized | str]:
    """The way of placing that asks the least of each device of this worker, and what it asks."""
    best: tuple[int, Sized | str] | None = None
    least = 0
    for step in plan:
        if not step.devices or (step.devices > len(fit) and best is not None):
            continue
        sized = _sized(search, room, fit, step)
        if best is None or (
            not isinstance(sized, str) and (isinstance(best[1], str) or _asked(sized) < least)
        ):
            best = step.devices, sized
            least = _asked(sized) if not isinstance(sized, str) else 0
    return best or (1, f"{search.demand.backend} cannot use the devices of {room.worker.name}")


def _asked(sized: Sized) -> int:
    return max((share.asked_bytes for share in sized.shares), default=0)


def _sized(search: Search, room: Room, fit: Sequence[DeviceView], step: Step) -> Sized | str:
    roomiest = sorted(fit, key=lambda device: -room.free[device.key])[: step.devices]
    if len(roomiest) == step.devices and step.workers == 1:
        return search.sizer.size(search.demand, place_of(search.demand, room, roomiest))
    kinds = (roomiest[0].kind,) * step.devices
    return search.sizer.size(search.demand, Place(kinds, step.workers))


def _of_devices(room: Room, fit: Sequence[DeviceView], sized: Sized) -> Iterator[Reason]:
    roomiest = sorted(fit, key=lambda device: (-room.free[device.key], device.index))
    smallest = min(sized.shares, key=lambda share: share.asked_bytes)
    shares = dict(zip((device.key for device in roomiest), sized.shares, strict=False))
    for device in fit:
        share = shares.get(device.key, smallest)
        if share.asked_bytes > room.free[device.key]:
            yield vram_reason(room, device, share)


def _of_whole(
    room: Room, fit: Sequence[DeviceView], count: int, sized: Sized, *, found: bool
) -> Iterator[Reason]:
    """What stands against the worker though its devices have room."""
    if count > len(fit):
        yield _too_few(room, count, len(fit))
    elif not found and sized.ram_bytes[0] > room.ram_free:
        yield ram_reason(room, sized.ram_bytes[0])


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
    if share.needed_bytes > share.claim_bytes:
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
