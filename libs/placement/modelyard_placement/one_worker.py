"""On one device, or on several of one worker."""

from collections.abc import Iterator

from modelyard_contracts.parameters import value_of

from modelyard_placement.claims import Place, Sized
from modelyard_placement.counts import LAYERS
from modelyard_placement.demand import Demand
from modelyard_placement.fits import Fit, equal_devices, mixed_devices
from modelyard_placement.picture import DeviceKind
from modelyard_placement.room import Room
from modelyard_placement.rooms import Metric
from modelyard_placement.search import Found, Search, best

STAY_IN_RAM = ("-ot", "--override-tensor", "-cmoe", "--cpu-moe", "-ncmoe", "--n-cpu-moe", *LAYERS)
"""Flags with which some weights are not on devices."""


def on_one_worker(search: Search, count: int) -> list[Found]:
    if search.demand.rules.splits_by_room and count > 1:
        return best(_dealt_out(search, count, _least_weights(search.demand)))
    kinds = [kind for kind, most in search.kinds.items() if most >= count]
    found = best(_on_equal(search, kind, count) for kind in kinds)
    if found or count == 1:
        return found
    return best(filter(_is_mixed, one) for one in _dealt_out(search, count, 0))


def _on_equal(search: Search, kind: DeviceKind, count: int) -> Iterator[Found]:
    sized = search.size(Place((kind,) * count))
    if sized is None:
        return iter(())

    def fit(room: Room) -> Fit | None:
        return equal_devices(search.demand, search.policy, room, kind, count, sized)

    return search.first(Metric("each", kind, count), largest_share(sized), fit)


def largest_share(sized: Sized) -> int:
    return max(share.free_bytes for share in sized.shares)


def _dealt_out(search: Search, count: int, least: int) -> Iterator[Iterator[Found]]:
    """The roomiest devices of a type, whatever their sizes."""
    for device_type in search.types():

        def fit(room: Room, device_type: str = device_type) -> Fit | None:
            return mixed_devices(search.demand, room, device_type, count, search.sizer)

        yield search.first(Metric("sum", device_type, count), least, fit)


def _least_weights(demand: Demand) -> int:
    """Less than this cannot suffice for the weights on devices: a safe bound, to look at fewer workers."""
    if demand.model is None or value_of(demand.arguments, *STAY_IN_RAM) is not None:
        return 0
    return demand.model.weight_bytes // 4


def _is_mixed(found: Found) -> bool:
    [fit] = found.fits
    kinds = {device.kind for device in fit.room.worker.devices if device.key in fit.devices}
    return len(kinds) > 1
