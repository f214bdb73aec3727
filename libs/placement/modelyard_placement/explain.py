"""Why a demand fits nowhere: for every worker, and for every device of it, the first check that fails."""

from collections.abc import Iterator, Sequence

from modelyard_contracts.deployments import Reason

from modelyard_placement.claims import Place, Share, Sized
from modelyard_placement.filters import device_obstacle, worker_obstacle
from modelyard_placement.fits import ram_needed
from modelyard_placement.picture import DeviceKind, DeviceView
from modelyard_placement.room import Room
from modelyard_placement.search import Search
from modelyard_placement.sizes import gib
from modelyard_placement.strategies import Step, may_use_ram, steps


def obstacles(search: Search) -> tuple[Reason, ...]:
    """In the order of the workers' ids."""
    found = Obstacles(search)
    told = [reason for room in search.rooms.everyone() for reason in found.of(room)]
    return (*_unknown(search), *told)


class Obstacles:
    """Worker by worker."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._nearest = _Nearest(search, list(steps(search)))

    def of(self, room: Room) -> list[Reason]:
        stands_against = worker_obstacle(self._search.demand, room)
        return [stands_against] if stands_against else _of_worker(self._search, room, self._nearest)


def _unknown(search: Search) -> list[Reason]:
    """GPUs chosen by hand that nobody has."""
    if not search.demand.gpu_ids:
        return []
    rooms = {room.worker.name: room for room in search.rooms.everyone()}
    found = []
    for gpu_id in search.demand.gpu_ids:
        name, device_type, index = gpu_id.rsplit(":", 2)
        device, asked = f"{device_type}:{index}", f"gpu_selector.gpu_ids: {gpu_id}"
        if name not in rooms:
            message = f"{asked}: no worker is called {name}"
            found.append(
                Reason(check="gpu_selector", needed=gpu_id, available="no such worker", message=message)
            )
        elif device not in rooms[name].free:
            has = ", ".join(rooms[name].free) or "no devices"
            message = f"{asked}: {name} has no {device}, it has {has}"
            found.append(
                Reason(
                    worker=name,
                    device=device,
                    check="gpu_selector",
                    needed=gpu_id,
                    available=has,
                    message=message,
                )
            )
    return found


def _of_worker(search: Search, room: Room, nearest: "_Nearest") -> list[Reason]:
    demand = search.demand
    if demand.model is None and not demand.moved:
        return _of_ram(search, room)
    if not room.worker.devices and may_use_ram(demand):
        return _of_ram(search, room)
    unfit = {device.key: device_obstacle(demand, room.worker, device) for device in room.worker.devices}
    fit = [device for device in room.worker.devices if unfit[device.key] is None]
    reasons = [reason for reason in unfit.values() if reason is not None]
    if fit or not reasons:
        reasons += [reason for alike in _alike(fit, nearest) for reason in _of_group(room, alike, nearest)]
    return reasons


def _alike(devices: Sequence[DeviceView], nearest: "_Nearest") -> list[list[DeviceView]]:
    """Devices that an instance can take together: of a type; of a kind where it takes one alone."""
    groups: dict[object, list[DeviceView]] = {}
    for device in devices:
        groups.setdefault(device.type, []).append(device)
    for device_type, of_type in list(groups.items()):
        if nearest.of(_kinds(of_type))[0].devices == 1:
            del groups[device_type]
            for device in of_type:
                groups.setdefault(device.kind, []).append(device)
    return list(groups.values()) or [[]]


def _kinds(devices: Sequence[DeviceView]) -> tuple[DeviceKind, ...]:
    return tuple(device.kind for device in devices)


def _of_group(room: Room, devices: Sequence[DeviceView], nearest: "_Nearest") -> list[Reason]:
    step, sized = nearest.of(_kinds(devices))
    if step.devices > len(devices):
        return [_too_few(room, step.devices, len(devices))]
    if isinstance(sized, str):
        return [Reason(worker=room.worker.name, check="model", message=sized)]
    return list(_of_devices(room, devices, sized)) or list(_of_whole(room, devices, step, sized))


class _Nearest:
    """The way of placing that asks the least of each device of a worker, by the kinds there; those on
    one worker before those on several."""

    def __init__(self, search: Search, plan: Sequence[Step]) -> None:
        self._search = search
        alone = [step for step in plan if step.devices and step.workers == 1]
        spanning = [step for step in plan if step.workers > 1]
        self._ways = alone, spanning
        self._fewest = (alone or spanning or [Step("one_device", search.counts.world or 1)])[0]
        self._known: dict[tuple[DeviceKind, ...], tuple[Step, Sized | str]] = {}

    def of(self, kinds: tuple[DeviceKind, ...]) -> tuple[Step, Sized | str]:
        """With more devices than there are, if there are too few for any."""
        if kinds not in self._known:
            self._known[kinds] = self._found(sorted(kinds, key=lambda kind: -kind.total_bytes))
        return self._known[kinds]

    def _found(self, kinds: Sequence[DeviceKind]) -> tuple[Step, Sized | str]:
        for way in self._ways:
            sizes = [(step, self._size(kinds, step)) for step in way if step.devices <= len(kinds)]
            known = [(step, sized) for step, sized in sizes if not isinstance(sized, str)]
            if known:
                return min(known, key=lambda one: _asked(one[1]))
            if sizes:
                return sizes[0]
        return self._fewest, ""

    def _size(self, kinds: Sequence[DeviceKind], step: Step) -> Sized | str:
        if step.workers == 1:
            return self._search.sizer.size(self._search.demand, Place(tuple(kinds[: step.devices])))
        return self._search.sizer.size(self._search.demand, Place((kinds[0],) * step.devices, step.workers))


def _asked(sized: Sized) -> int:
    return max((share.asked_bytes for share in sized.shares), default=0)


def _of_devices(room: Room, fit: Sequence[DeviceView], sized: Sized) -> Iterator[Reason]:
    roomiest = sorted(fit, key=lambda device: (-room.free[device.key], device.index))
    smallest = min(sized.shares, key=lambda share: share.free_bytes)
    shares = dict(zip((device.key for device in roomiest), sized.shares, strict=False))
    for device in fit:
        share = shares.get(device.key, smallest)
        if not share.suffices(room.free[device.key]):
            yield vram_reason(room, device, share)


def _of_whole(room: Room, fit: Sequence[DeviceView], step: Step, sized: Sized) -> Iterator[Reason]:
    """What stands against the worker though each of its devices has room."""
    name = room.worker.name
    ram_bytes = max(ram_needed(room, sized, step.devices, at) for at in range(len(sized.ram_bytes)))
    if ram_bytes > room.ram_free:
        yield ram_reason(room, ram_bytes)
    elif step.strategy == "uneven_workers":
        message = f"{name} has room for its part, but the selected GPUs of other workers have not"
        yield Reason(worker=name, check="group", needed=step.workers, message=message)
    elif step.workers > 1:
        message = f"{name} has room for its part, but not {step.workers} workers of a group have"
        yield Reason(worker=name, check="group", needed=step.workers, message=message)
    else:
        needed = sum(share.free_bytes for share in sized.shares)
        free = sum(max(room.free[device.key], 0) for device in fit)
        message = f"the devices of {name} have {gib(free)} free together, {gib(needed)} are needed"
        yield Reason(worker=name, check="group", needed=needed, available=free, message=message)


def _of_ram(search: Search, room: Room) -> list[Reason]:
    sized = search.sizer.size(search.demand, Place(()))
    if isinstance(sized, str):
        return [Reason(worker=room.worker.name, check="model", message=sized)]
    return [ram_reason(room, sized.ram_bytes[0])]


def vram_reason(room: Room, device: DeviceView, share: Share) -> Reason:
    name = room.worker.name
    free = max(room.free[device.key], 0)
    needed, available = share.free_bytes, free
    has = f"{device.key} of {name} has {gib(free)} of {gib(device.total_bytes)} free"
    if device.foreign_bytes:
        has += f" ({gib(device.foreign_bytes)} are held by other processes)"
    message = f"{has}, {gib(needed)} are needed"
    if share.asked_bytes > share.claim_bytes:
        message = f"{has}, of which the backend takes {gib(share.claim_bytes)}; {gib(needed)} are needed"
        available = min(free, share.claim_bytes)
    elif share.start_bytes:
        message += f": {gib(share.claim_bytes)} and {gib(share.start_bytes)} to start"
    return Reason(
        worker=name, device=device.key, check="vram", needed=needed, available=available, message=message
    )


def ram_reason(room: Room, needed: int) -> Reason:
    free, name = max(room.ram_free, 0), room.worker.name
    message = f"{name} has {gib(free)} of memory free, {gib(needed)} are needed"
    return Reason(worker=name, check="ram", needed=needed, available=free, message=message)


def _too_few(room: Room, needed: int, available: int) -> Reason:
    name = room.worker.name
    message = f"{name} has {available} devices that would do, {needed} are needed"
    return Reason(worker=name, check="devices", needed=needed, available=available, message=message)
