"""Partly or wholly in main memory."""

from collections.abc import Iterator

from modelyard_contracts.parameters import value_of

from modelyard_placement.claims import Place
from modelyard_placement.counts import LAYERS
from modelyard_placement.fits import Fit, mixed_devices, ram_suffices
from modelyard_placement.room import Room
from modelyard_placement.rooms import RAM, Metric, rank_of
from modelyard_placement.search import Found, Search, best


def partly_offloaded(search: Search) -> list[Found]:
    """As many layers on devices as have room there; the others stay in main memory."""
    whole = search.size(Place(()))
    layers = whole.total_layers if whole else None
    if not layers or value_of(search.demand.arguments, *LAYERS) is not None:
        return []
    found: list[Found] = []
    for room in search.rooms.eligible(search.demand):
        fit = max(_options(search, room, layers), key=_worth, default=None)
        if fit is not None:
            metric = Metric("sum", fit.devices[0].partition(":")[0], len(fit.devices))
            rank = rank_of(room, search.demand, search.policy, metric, 0)
            found.append(Found((-_layers(fit), *rank), (fit,)))
    return best([iter(sorted(found, key=lambda one: one.rank))])


def _options(search: Search, room: Room, layers: int) -> Iterator[Fit]:
    """On the roomiest device, and on all devices of a type."""
    for device_type in search.types():
        count = sum(device.type == device_type for device in room.worker.devices)
        for several in sorted({1, count} - {0}):
            fit = _most_layers(search, room, device_type, several, layers)
            if fit is not None:
                yield fit


def _most_layers(search: Search, room: Room, device_type: str, count: int, layers: int) -> Fit | None:
    found: Fit | None = None
    fewest, most = 1, layers
    while fewest <= most:
        middle = (fewest + most) // 2
        fit = mixed_devices(search.demand, room, device_type, count, search.sizer, offload_layers=middle)
        if fit is None:
            most = middle - 1
        else:
            found, fewest = fit, middle + 1
    return found


def _layers(fit: Fit) -> int:
    return fit.sized.offload_layers or 0


def _worth(fit: Fit) -> tuple[int, int]:
    return _layers(fit), -len(fit.devices)


def in_main_memory(search: Search) -> list[Found]:
    """Where no device is there, or where the deployment allows it."""
    demand = search.demand
    return _in_ram(search, bare=not demand.spec.cpu_offloading and not demand.moved)


def size_unknown(search: Search) -> list[Found]:
    """All that is claimed of a model of which nothing is known yet is some main memory."""
    return _in_ram(search, bare=False)


def _in_ram(search: Search, *, bare: bool) -> list[Found]:
    sized = search.size(Place(()))
    if sized is None:
        return []

    def fit(room: Room) -> Fit | None:
        return Fit(room, (), sized) if ram_suffices(room, sized, 0) else None

    return best([search.first(RAM, sized.ram_bytes[0], fit, bare=bare)])
