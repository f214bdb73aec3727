"""What the strategies share: a demand on its way to a place, and the best workers by one metric."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import nsmallest
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

    def kinds(self) -> Iterator[tuple[DeviceKind, int]]:
        """That the demand can run on, with the most of it on one worker."""
        for kind, most in self.rooms.kinds.items():
            if kind_obstacle(self.demand, kind) is None:
                yield kind, most

    def types(self) -> list[str]:
        return sorted({kind.type for kind, _ in self.kinds()})

    def size(self, place: Place) -> Sized | None:
        """None where the backend could not run it, however free the devices are."""
        sized = self.sizer.size(self.demand, place)
        if isinstance(sized, str):
            return None
        kinds = place.kinds * place.workers
        fits = all(
            share.needed_bytes <= share.claim_bytes <= kind.total_bytes
            for share, kind in zip(sized.shares, kinds, strict=True)
        )
        return sized if fits else None

    def first(
        self,
        metric: Metric,
        least: int,
        fit: Callable[[Room], Fit | None],
        wanted: int = ALTERNATIVES,
        *,
        bare: bool = False,
    ) -> list[Found]:
        """The best `wanted` workers that can take it."""
        ranked = self.rooms.ranked(self.demand, self.policy, metric, least, bare=bare)
        tried = ((rank, fit(room)) for rank, room in ranked)
        return [Found(rank, (one,)) for rank, one in islice(_fitting(tried), wanted)]


def best(found: Iterable[Found]) -> list[Found]:
    return nsmallest(ALTERNATIVES, found, key=lambda one: one.rank)


def _fitting(tried: Iterable[tuple[Rank, Fit | None]]) -> Iterator[tuple[Rank, Fit]]:
    return ((rank, one) for rank, one in tried if one is not None)
