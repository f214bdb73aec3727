"""The rooms of a cluster, kept up to date event by event, and found without looking at every worker."""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

from modelyard_contracts.deployments import PlacementStrategy, Source

from modelyard_placement.demand import Demand
from modelyard_placement.filters import file_obstacle, standing_obstacle, worker_obstacle
from modelyard_placement.orders import FEW, BinpackOrder, Order, SpreadOrder
from modelyard_placement.picture import DeviceKind, Holding, Picture, WorkerView
from modelyard_placement.room import Room
from modelyard_placement.rooms import Metric, count_kinds, rank_of, room_bytes
from modelyard_placement.scores import SPREAD, Rank

EMPTY = Picture()
NOBODY: frozenset[int] = frozenset()
MOST_ORDERS = 64


class Signature(NamedTuple):
    """What decides which workers an order holds, by what, and in which order."""

    cluster_id: int | None
    labels: tuple[tuple[str, str], ...]
    expressions: Hashable
    backend: str
    bare: bool
    policy: PlacementStrategy
    metric: Metric
    deployment: Hashable | None


class Index:
    """`Rooms` that follows a log. Deciding reads it without awaiting in between."""

    def __init__(self, picture: Picture = EMPTY) -> None:
        workers = sorted(picture.workers, key=lambda worker: worker.ident)
        self._idents = [worker.ident for worker in workers]
        held: dict[int, list[Holding]] = {}
        for holding in picture.holdings:
            held.setdefault(holding.worker, []).append(holding)
        self._rooms = [Room(worker, held.get(worker.ident, ())) for worker in workers]
        self._kinds: tuple[dict[DeviceKind, int], dict[str, int]] | None = None
        self._orders: OrderedDict[Signature, tuple[Order, int]] = OrderedDict()
        self._changes: list[int] = []
        """Positions, in the order in which they changed; as complements where the worker itself changed."""
        self._dropped = 0
        """Changes that are not kept any more."""
        self._numbering = 0
        """Of the positions, which changes when workers come or go."""
        self._of_deployment: dict[Hashable, set[int]] = {}
        self._near: dict[str, set[int]] = {}
        self._renumber()

    # --- what changes it

    def put_worker(self, worker: WorkerView) -> None:
        """A worker that joined or changed; what it holds stays."""
        position = self._position(worker.ident)
        if position is None:
            self._add(worker)
            return
        before = self._rooms[position]
        if before.worker == worker:
            return
        self._rooms[position] = Room(worker, before.holdings.values())
        if before.worker.devices != worker.devices:
            self._kinds = None
        for location in before.worker.files - worker.files:
            self._near[location].discard(position)
        for location in worker.files:
            self._near.setdefault(location, set()).add(position)
        self._changed(~position)

    def remove_worker(self, ident: int) -> None:
        position = self._position(ident)
        if position is None:
            return
        del self._idents[position], self._rooms[position]
        self._renumber()

    def take(self, holding: Holding) -> None:
        """Of a worker that is not there it changes nothing."""
        position = self._position(holding.worker)
        if position is None:
            return
        self._rooms[position].take(holding)
        self._of_deployment.setdefault(holding.deployment, set()).add(position)
        self._changed(position)

    def give_back(self, worker: int, instance: Hashable) -> None:
        position = self._position(worker)
        held = None if position is None else self._rooms[position].holdings.get(instance)
        if position is None or held is None:
            return
        self._rooms[position].give_back(instance)
        if not self._rooms[position].same(held.deployment):
            self._of_deployment[held.deployment].discard(position)
            if not self._of_deployment[held.deployment]:
                del self._of_deployment[held.deployment]
        self._changed(position)

    # --- what a decision reads

    @property
    def kinds(self) -> Mapping[DeviceKind, int]:
        return self._counted()[0]

    @property
    def mixed_types(self) -> Mapping[str, int]:
        return self._counted()[1]

    def everyone(self) -> Iterable[Room]:
        return self._rooms

    def room(self, worker: int) -> Room | None:
        position = self._position(worker)
        return None if position is None else self._rooms[position]

    def mark(self) -> tuple[int, int]:
        """For `changed_since`."""
        return self._numbering, self._dropped + len(self._changes)

    def changed_since(self, mark: tuple[int, int]) -> set[int] | None:
        """Workers, or something on them. None: not known any more."""
        numbering, seen = mark
        if numbering != self._numbering or seen < self._dropped:
            return None
        changes = self._changes[seen - self._dropped :]
        return {self._idents[~change if change < 0 else change] for change in changes}

    def eligible(self, demand: Demand) -> Iterator[Room]:
        among = self._few(demand)
        rooms = self._rooms if among is None else [self._rooms[position] for position in sorted(among)]
        return (room for room in rooms if worker_obstacle(demand, room) is None)

    def ranked(
        self, demand: Demand, policy: PlacementStrategy, metric: Metric, least: int, *, bare: bool = False
    ) -> Iterator[tuple[Rank, Room]]:
        least = max(least, 0)
        few = self._few(demand)
        if few is not None:
            yield from self._each(few, demand, policy, metric, least, bare=bare)
            return
        near = self._near.get(demand.location, NOBODY)
        mine = self._of_deployment.get(demand.deployment, NOBODY) if policy is SPREAD else NOBODY
        several = len(mine) > FEW
        signature = _signature(demand, policy, metric, bare=bare, of_deployment=several)
        for position in self._order(signature, demand).best(least, near):
            room = self._rooms[position]
            if (several or position not in mine) and file_obstacle(demand, room) is None:
                yield rank_of(room, demand, policy, metric, least), room
        if not several:
            yield from self._each(mine, demand, policy, metric, least, bare=bare)

    def _each(
        self,
        positions: Collection[int],
        demand: Demand,
        policy: PlacementStrategy,
        metric: Metric,
        least: int,
        *,
        bare: bool,
    ) -> Iterator[tuple[Rank, Room]]:
        """The same of a few, looked at one by one."""
        rooms = [self._rooms[position] for position in positions]
        fitting = [
            (rank_of(room, demand, policy, metric, least), room)
            for room in rooms
            if room_bytes(room, metric) >= least and not (bare and room.worker.devices)
            if worker_obstacle(demand, room) is None
        ]
        yield from sorted(fitting, key=lambda one: one[0])

    def _few(self, demand: Demand) -> set[int] | None:
        """The only positions that can matter, where they are few; None where they are many."""
        if demand.gpu_ids:
            names = {gpu_id.rsplit(":", 2)[0] for gpu_id in demand.gpu_ids}
            return {at for at, room in enumerate(self._rooms) if room.worker.name in names}
        if demand.paths is not None and demand.spec.source is Source.LOCAL_PATH:
            there = [worker for worker, said in demand.paths.items() if said is True]
            if len(there) <= FEW:
                found = (self._position(worker) for worker in there)
                return {position for position in found if position is not None}
        return None

    # --- how it is kept

    def _order(self, signature: Signature, demand: Demand) -> Order:
        kept = self._orders.pop(signature, None)
        now = self._dropped + len(self._changes)
        if kept is None or kept[1] < self._dropped or now - kept[1] > len(self._rooms):
            order = self._made(signature, demand)
        else:
            order = kept[0]
            for change in dict.fromkeys(self._changes[kept[1] - self._dropped :]):
                if change < 0:
                    order.admit(~change)
                else:
                    order.measure(change)
        self._orders[signature] = order, now
        if len(self._orders) > MOST_ORDERS:
            self._orders.popitem(last=False)
        return order

    def _made(self, signature: Signature, demand: Demand) -> Order:
        def admits(room: Room) -> bool:
            if signature.bare and room.worker.devices:
                return False
            return standing_obstacle(demand, room.worker) is None

        if signature.policy is SPREAD:
            return SpreadOrder(self._rooms, admits, signature.metric, signature.deployment)
        return BinpackOrder(self._rooms, admits, signature.metric)

    def _changed(self, change: int) -> None:
        self._changes.append(change)
        if len(self._changes) > 4 * len(self._rooms) + 1024:
            half = len(self._changes) // 2
            del self._changes[:half]
            self._dropped += half

    def _position(self, ident: int) -> int | None:
        position = bisect_left(self._idents, ident)
        return position if position < len(self._idents) and self._idents[position] == ident else None

    def _add(self, worker: WorkerView) -> None:
        insort(self._idents, worker.ident)
        self._rooms.insert(bisect_left(self._idents, worker.ident), Room(worker))
        self._renumber()

    def _renumber(self) -> None:
        """Positions moved: orders are made anew when they are asked for."""
        self._orders.clear()
        self._changes.clear()
        self._dropped = 0
        self._numbering += 1
        self._kinds = None
        self._of_deployment = {}
        self._near = {}
        for position, room in enumerate(self._rooms):
            for deployment in room.of_deployment:
                self._of_deployment.setdefault(deployment, set()).add(position)
            for location in room.worker.files:
                self._near.setdefault(location, set()).add(position)

    def _counted(self) -> tuple[dict[DeviceKind, int], dict[str, int]]:
        if self._kinds is None:
            kinds: dict[DeviceKind, int] = {}
            mixed_types: dict[str, int] = {}
            for room in self._rooms:
                count_kinds(room, kinds, mixed_types)
            self._kinds = kinds, mixed_types
        return self._kinds


def _signature(
    demand: Demand, policy: PlacementStrategy, metric: Metric, *, bare: bool, of_deployment: bool
) -> Signature:
    return Signature(
        cluster_id=demand.cluster_id,
        labels=tuple(sorted(demand.spec.worker_selector.items())),
        expressions=demand.spec.worker_selector_expressions,
        backend=demand.backend,
        bare=bare,
        policy=policy,
        metric=metric,
        deployment=demand.deployment if of_deployment else None,
    )
