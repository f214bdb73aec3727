"""A part of the rooms of a cluster: without those that are kept for somebody else, or one alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from modelyard_contracts.deployments import PlacementStrategy
from modelyard_placement.demand import Demand
from modelyard_placement.index import Index
from modelyard_placement.picture import DeviceKind
from modelyard_placement.room import Room
from modelyard_placement.rooms import Metric
from modelyard_placement.scores import Rank


@dataclass(frozen=True, slots=True)
class Some:
    """Those of the rooms that `admits` says yes to."""

    rooms: Index
    admits: Callable[[Room], bool]

    @property
    def kinds(self) -> Mapping[DeviceKind, int]:
        return self.rooms.kinds

    @property
    def mixed_types(self) -> Mapping[str, int]:
        return self.rooms.mixed_types

    def ranked(
        self, demand: Demand, policy: PlacementStrategy, metric: Metric, least: int, *, bare: bool = False
    ) -> Iterator[tuple[Rank, Room]]:
        ranked = self.rooms.ranked(demand, policy, metric, least, bare=bare)
        return ((rank, room) for rank, room in ranked if self.admits(room))

    def eligible(self, demand: Demand) -> Iterator[Room]:
        return (room for room in self.rooms.eligible(demand) if self.admits(room))

    def everyone(self) -> Iterable[Room]:
        return (room for room in self.rooms.everyone() if self.admits(room))


def without(rooms: Index, kept: frozenset[int]) -> Some:
    """`kept`: workers by id."""
    return Some(rooms, lambda room: room.worker.ident not in kept)


def only(rooms: Index, alone: Room) -> Some:
    return Some(rooms, lambda room: room is alone)
