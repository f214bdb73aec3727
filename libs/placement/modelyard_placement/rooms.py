"""The workers that a demand may go to, best first: the port between the strategies and what keeps the rooms.

`ScannedRooms` looks at every worker each time; `index.Index` keeps orders and finds the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, Protocol

from modelyard_contracts.deployments import PlacementStrategy

from modelyard_placement.demand import Demand
from modelyard_placement.filters import worker_obstacle
from modelyard_placement.picture import DeviceKind, Holding, Picture
from modelyard_placement.room import Room
from modelyard_placement.scores import SPREAD, Rank, binpack_rank, spread_rank


class Metric(NamedTuple):
    """Which room of a worker counts: what each of its `devices` roomiest devices of a kind has at least, what
    those of a type have together, or main memory."""

    what: Literal["each", "sum", "ram"]
    of: DeviceKind | str = ""
    devices: int = 1


RAM = Metric("ram")


class Rooms(Protocol):
    @property
    def kinds(self) -> Mapping[DeviceKind, int]:
        """Every kind of device, and the most of it that one worker has."""

    @property
    def mixed_types(self) -> Mapping[str, int]:
        """Types of which some worker has devices of several kinds, and the most of it that one such has."""

    def ranked(
        self, demand: Demand, policy: PlacementStrategy, metric: Metric, least: int, *, bare: bool = False
    ) -> Iterator[tuple[Rank, Room]]:
        """The workers that nothing stands against and that have `least` bytes by this metric, best first.
        `bare`: only those without devices."""

    def eligible(self, demand: Demand) -> Iterator[Room]:
        """The workers that nothing stands against, by id."""

    def everyone(self) -> Iterable[Room]:
        """By id."""


class ScannedRooms:
    """The plain way: every worker is looked at, every time."""

    def __init__(self, picture: Picture) -> None:
        by_worker: dict[int, list[Holding]] = {}
        for holding in picture.holdings:
            by_worker.setdefault(holding.worker, []).append(holding)
        workers = sorted(picture.workers, key=lambda worker: worker.ident)
        self._keep([Room(worker, by_worker.get(worker.ident, ())) for worker in workers])

    def _keep(self, rooms: list[Room]) -> None:
        self._rooms = rooms
        self.kinds: dict[DeviceKind, int] = {}
        self.mixed_types: dict[str, int] = {}
        for room in self._rooms:
            count_kinds(room, self.kinds, self.mixed_types)

    def ranked(
        self, demand: Demand, policy: PlacementStrategy, metric: Metric, least: int, *, bare: bool = False
    ) -> Iterator[tuple[Rank, Room]]:
        found = [
            (rank_of(room, demand, policy, metric, least), room)
            for room in self.eligible(demand)
            if room_bytes(room, metric) >= least and not (bare and room.worker.devices)
        ]
        yield from sorted(found, key=lambda one: one[0])

    def eligible(self, demand: Demand) -> Iterator[Room]:
        return (room for room in self._rooms if worker_obstacle(demand, room) is None)

    def everyone(self) -> Iterable[Room]:
        return self._rooms


class OneRoom(ScannedRooms):
    """A worker as if it were the only one."""

    def __init__(self, room: Room) -> None:
        self._keep([room])


def room_bytes(room: Room, metric: Metric) -> int:
    """-1 if the worker has no such devices."""
    if metric.what == "ram":
        return room.ram_free
    if metric.what == "each":
        frees = room.frees(metric.of) if isinstance(metric.of, DeviceKind) else []
        return frees[metric.devices - 1] if len(frees) >= metric.devices else -1
    frees = sorted(
        (free for kind in room.kinds() if kind.type == metric.of for free in room.frees(kind)), reverse=True
    )
    return sum(frees[: metric.devices]) if len(frees) >= metric.devices else -1


def rank_of(room: Room, demand: Demand, policy: PlacementStrategy, metric: Metric, least: int) -> Rank:
    if policy is SPREAD:
        return spread_rank(room, demand.deployment, demand.location)
    size = room_bytes(room, metric)
    if metric.what == "each" and metric.devices == 1 and isinstance(metric.of, DeviceKind):
        size = min(free for free in room.frees(metric.of) if free >= least)
    return binpack_rank(room, size, demand.location)


def count_kinds(room: Room, kinds: dict[DeviceKind, int], mixed_types: dict[str, int]) -> None:
    of_type: dict[str, list[DeviceKind]] = {}
    for kind in room.kinds():
        kinds[kind] = max(kinds.get(kind, 0), len(room.devices_of(kind)))
        of_type.setdefault(kind.type, []).append(kind)
    for device_type, several in of_type.items():
        if len(several) > 1:
            count = sum(len(room.devices_of(kind)) for kind in several)
            mixed_types[device_type] = max(mixed_types.get(device_type, 0), count)
