"""On several workers: one group of equal parts, placed all or nothing."""

from itertools import islice

from modelyard_placement.claims import Place, Sized
from modelyard_placement.fits import Fit, equal_devices
from modelyard_placement.one_worker import largest_share
from modelyard_placement.picture import DeviceKind
from modelyard_placement.room import Room
from modelyard_placement.rooms import Metric
from modelyard_placement.search import Found, Search, best


def on_several_workers(search: Search, each: int, workers: int) -> list[Found]:
    """`each` devices of one kind on each of so many workers, the best of them the primary one."""
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
