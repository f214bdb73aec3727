"""The rooms of a cluster without those that are kept for somebody else."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from modelyard_contracts.deployments import PlacementStrategy
from modelyard_placement.demand import Demand
from modelyard_placement.index import Index
from modelyard_placement.picture import DeviceKind
from modelyard_placement.room import Room
from modelyard_placement.rooms import Metric
from modelyard_placement.scores import Rank


@dataclass(frozen=True, slots=True)
class Without:
    rooms: Index
    kept: frozenset[int]
    """Workers by id."""

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
        return ((rank, room) for rank, room in ranked if room.worker.ident not in self.kept)

    def eligible(self, demand: Demand) -> Iterator[Room]:
        return (room for room in self.rooms.eligible(demand) if room.worker.ident not in self.kept)

    def everyone(self) -> Iterable[Room]:
        return [room for room in self.rooms.everyone() if room.worker.ident not in self.kept]
