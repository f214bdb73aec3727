"""What the strategies share: a demand on its way to a place, and the best workers by one metric."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from modelyard_contracts.deployments import PlacementStrategy

from modelyard_placement.claims import Place, Sized, Sizer
from modelyard_placement.counts import Counts
from modelyard_placement.demand import Demand
from modelyard_placement.filters import kind_obstacle
from modelyard_placement.fits import Fit
from modelyard_placement.picture import DeviceKind
from modelyard_placement.room import Room
from modelyard_placement.rooms import Metric, Rooms
from modelyard_placement.scores import Rank

ALTERNATIVES = 3
"""Places that are compared in the end, the best included."""


@dataclass(frozen=True, slots=True)
class Found:
    """A place: the primary worker first."""

    rank: Rank
    fits: tuple[Fit, ...]


@dataclass(frozen=True, slots=True)
class Search:
    demand: Demand
    counts: Counts
    rooms: Rooms
    policy: PlacementStrategy
    sizer: Sizer
    kinds: Mapping[DeviceKind, int]
    """That the demand can run on, with the most of it on one worker."""

    def types(self) -> list[str]:
        return sorted({kind.type for kind in self.kinds})

    def size(self, place: Place) -> Sized | None:
        """None where the backend could not run it, however free the devices are."""
        sized = self.sizer.size(self.demand, place)
        if isinstance(sized, str):
            return None
        kinds = place.kinds * place.workers
        large = all(
            share.claim_bytes <= kind.total_bytes for share, kind in zip(sized.shares, kinds, strict=True)
        )
        return sized if sized.fits and large else None

    def first(
        self,
        metric: Metric,
        least: int,
        fit: Callable[[Room], Fit | None],
        *,
        bare: bool = False,
    ) -> Iterator[Found]:
        """The workers that can take it, best first."""
        for rank, room in self.rooms.ranked(self.demand, self.policy, metric, least, bare=bare):
            one = fit(room)
            if one is not None:
                yield Found(rank, (one,))


def search_in(
    rooms: Rooms, demand: Demand, counts: Counts, policy: PlacementStrategy, sizer: Sizer
) -> Search:
    kinds = {kind: most for kind, most in rooms.kinds.items() if kind_obstacle(demand, kind) is None}
    return Search(demand, counts, rooms, policy, sizer, kinds)


def best(found: Iterable[Iterator[Found]]) -> list[Found]:
    """Of several sources, each best first; no more of each is looked at than needed."""
    return list(islice(merge(*found, key=_rank), ALTERNATIVES))


def _rank(found: Found) -> Rank:
    return found.rank
