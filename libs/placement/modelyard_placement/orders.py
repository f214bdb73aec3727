"""Workers kept in the order of a policy, with their room by one metric, so that nobody looks at all of them.

An order holds the workers that a kind of demand may go to, by position. It catches up with the changes of
the index when it is asked, so that a change costs nothing until then.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence

from modelyard_placement.picture import DeviceKind
from modelyard_placement.room import Room
from modelyard_placement.rooms import Metric, room_bytes
from modelyard_placement.tree import MaxTree

FEW = 64
"""So many workers are looked at one by one."""

Admits = Callable[[Room], bool]


class SpreadOrder:
    """By how crowded workers are."""

    def __init__(
        self, rooms: Sequence[Room], admits: Admits, metric: Metric, deployment: Hashable | None
    ) -> None:
        self._rooms, self._admits, self._metric, self._deployment = rooms, admits, metric, deployment
        self._buckets: dict[tuple[int, ...], MaxTree] = {}
        self._bucket_of: list[tuple[int, ...] | None] = [None] * len(rooms)
        self._admitted = [admits(room) for room in rooms]
        for position in range(len(rooms)):
            self.measure(position)

    def admit(self, position: int) -> None:
        self._admitted[position] = self._admits(self._rooms[position])
        self.measure(position)

    def measure(self, position: int) -> None:
        room = self._rooms[position]
        size = room_bytes(room, self._metric) if self._admitted[position] else -1
        bucket: tuple[int, ...] = (room.crowd, room.emptiest())
        if self._deployment is not None:
            bucket = (room.same(self._deployment), *bucket)
        before = self._bucket_of[position]
        if before is not None and (before != bucket or size < 0):
            self._buckets[before].set(position, -1)
            if self._buckets[before].highest < 0:
                del self._buckets[before]
        if size < 0:
            self._bucket_of[position] = None
            return
        tree = self._buckets.get(bucket)
        if tree is None:
            tree = self._buckets[bucket] = MaxTree(len(self._rooms))
        tree.set(position, size)
        self._bucket_of[position] = bucket

    def best(self, least: int, near: Collection[int]) -> Iterator[int]:
        """Positions with at least `least` bytes, the best first; of equals, those `near` the files first."""
        for bucket in sorted(self._buckets):
            tree = self._buckets[bucket]
            if tree.highest >= least:
                yield from _near_first(tree, least, near)


def _near_first(tree: MaxTree, least: int, near: Collection[int]) -> Iterator[int]:
    if not near:
        yield from _all_of(tree, least)
        return
    if len(near) <= FEW:
        yield from (position for position in sorted(near) if tree.get(position) >= least)
    else:
        yield from (position for position in _all_of(tree, least) if position in near)
    yield from (position for position in _all_of(tree, least) if position not in near)


def _all_of(tree: MaxTree, least: int) -> Iterator[int]:
    position = tree.first(least)
    while position >= 0:
        yield position
        position = tree.first(least, position + 1)


Entry = tuple[int, int, int]
"""Bytes of room, idle devices, position."""


class BinpackOrder:
    """By how little room there is."""

    def __init__(self, rooms: Sequence[Room], admits: Admits, metric: Metric) -> None:
        self._rooms, self._admits, self._metric = rooms, admits, metric
        self._admitted = [admits(room) for room in rooms]
        self._of: list[tuple[Entry, ...]] = [self._entries_of(position) for position in range(len(rooms))]
        self._entries = sorted(entry for entries in self._of for entry in entries)

    def admit(self, position: int) -> None:
        self._admitted[position] = self._admits(self._rooms[position])
        self.measure(position)

    def measure(self, position: int) -> None:
        entries = self._entries_of(position)
        if entries == self._of[position]:
            return
        for entry in self._of[position]:
            del self._entries[bisect_left(self._entries, entry)]
        for entry in entries:
            insort(self._entries, entry)
        self._of[position] = entries

    def best(self, least: int, near: Collection[int]) -> Iterator[int]:
        """Positions with at least `least` bytes, the tightest first; of equals, those `near` the files first.

        A worker with several such devices comes once."""
        seen: set[int] = set()
        at = bisect_left(self._entries, (least, -1, -1))
        while at < len(self._entries):
            end = bisect_left(self._entries, _after(self._entries[at])) if near else len(self._entries)
            for position in self._near_first(at, end, near):
                if position not in seen:
                    seen.add(position)
                    yield position
            at = end

    def _near_first(self, start: int, end: int, near: Collection[int]) -> Iterator[int]:
        """Those of a stretch of entries that are equal but for their positions."""
        if 0 < len(near) <= FEW:
            group = self._entries[start][:2]
            yield from (at for at in sorted(near) if any(one[:2] == group for one in self._of[at]))
        elif near:
            yield from (at for at in self._positions(start, end) if at in near)
        yield from (at for at in self._positions(start, end) if at not in near)

    def _positions(self, start: int, end: int) -> Iterator[int]:
        return (self._entries[at][2] for at in range(start, end))

    def _entries_of(self, position: int) -> tuple[Entry, ...]:
        room = self._rooms[position]
        if not self._admitted[position]:
            return ()
        metric = self._metric
        if metric.what == "each" and metric.devices == 1 and isinstance(metric.of, DeviceKind):
            sizes = sorted({free for free in room.frees(metric.of) if free >= 0})
        else:
            size = room_bytes(room, metric)
            sizes = [size] if size >= 0 else []
        idle = room.idle()
        return tuple((size, idle, position) for size in sizes)


def _after(entry: Entry) -> Entry:
    """Above all entries with this one's room and idle devices."""
    return (entry[0], entry[1] + 1, -1)


Order = SpreadOrder | BinpackOrder
