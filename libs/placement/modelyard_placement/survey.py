"""What every worker and device is to a demand: its score by part, or the first check that fails there.

Each worker is looked at as if it were the only one. Rooms that are alike are looked at once, and again only
what changed.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence

from modelyard_contracts.deployments import Candidate, Reason

from modelyard_placement.claims import Sizer
from modelyard_placement.counts import Counts
from modelyard_placement.demand import Demand
from modelyard_placement.explain import Obstacles
from modelyard_placement.filters import worker_obstacle
from modelyard_placement.index import NOBODY, Index
from modelyard_placement.pages import pack, page_of, text
from modelyard_placement.place import candidate
from modelyard_placement.room import Room
from modelyard_placement.rooms import OneRoom, Rooms
from modelyard_placement.search import Search, search_in
from modelyard_placement.strategies import steps, take
from modelyard_placement.verdicts import Row, Rows, Verdict

MOST_DEMANDS, MOST_ROOMS = 64, 20_000
"""That are remembered."""
HELD: Rows = (Row((), Verdict("held")),)


class Looks:
    """What was found at rooms, remembered: demands that ask for the same find the same at rooms that are
    alike."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, dict[Hashable, Rows]] = OrderedDict()

    def of(self, demand: Demand, rooms: Rooms) -> dict[Hashable, Rows]:
        kinds = frozenset(rooms.kinds.items()), frozenset(rooms.mixed_types.items())
        asked = demand.key, demand.replicas, demand.spec.model_dump_json(), kinds
        known = self._known.pop(asked, {})
        self._known[asked] = known if len(known) < MOST_ROOMS else {}
        if len(self._known) > MOST_DEMANDS:
            self._known.popitem(last=False)
        return self._known[asked]


class Survey:
    """Of one demand, as the rooms are when it is made or follows them; `held` are workers that are kept for
    somebody else."""

    def __init__(
        self,
        rooms: Index,
        demand: Demand,
        counts: Counts,
        sizer: Sizer,
        held: frozenset[int] = NOBODY,
        looks: Looks | None = None,
    ) -> None:
        self._rooms = rooms
        self._demand = demand
        self._counts = counts
        self._sizer = sizer
        self._held = held
        self._location = demand.location
        self._known = (looks or Looks()).of(demand, rooms)
        self._obstacles = Obstacles(self._search(rooms))
        self._kinds = rooms.kinds, rooms.mixed_types
        self._mark = rooms.mark()
        self.rows = {room.worker.ident: self._of(room) for room in rooms.everyone()}
        """By worker, in the order of their ids."""
        self._pages: dict[int, dict[int, _Page]] = {}

    def follow(self, rooms: Index, demand: Demand) -> bool:
        """Looks again at what changed since. False: it has to be made anew."""
        if rooms is not self._rooms or demand != self._demand:
            return False
        changed = rooms.changed_since(self._mark)
        if changed is None or (rooms.kinds, rooms.mixed_types) != self._kinds:
            return False
        self._mark = rooms.mark()
        for ident in changed:
            room = rooms.room(ident)
            if room is not None:
                self._look_again(ident, room)
        return True

    def pages(self, unit: int) -> tuple[str, ...]:
        """What `rows` holds, packed; amounts of bytes in `unit`."""
        if unit not in self._pages:
            self._pages[unit] = {}
            for ident, rows in self.rows.items():
                self._pages[unit].setdefault(page_of(ident), _Page(unit)).put(ident, rows)
        return tuple(page.packed() for page in self._pages[unit].values())

    def _look_again(self, ident: int, room: Room) -> None:
        rows = self._of(room)
        if rows == self.rows[ident]:
            return
        self.rows[ident] = rows
        for pages in self._pages.values():
            pages[page_of(ident)].put(ident, rows)

    def _search(self, rooms: Rooms) -> Search:
        demand = self._demand
        return search_in(rooms, demand, self._counts, demand.spec.placement_strategy, self._sizer)

    def _of(self, room: Room) -> Rows:
        if room.worker.ident in self._held:
            return HELD
        obstacle = worker_obstacle(self._demand, room)
        if obstacle is not None:
            return (_row(obstacle),)
        if self._demand.gpu_ids:
            return self._looked_at(room)
        key = room.likeness(), room.same(self._demand.deployment), self._location in room.worker.files
        if key not in self._known:
            self._known[key] = self._looked_at(room)
        return self._known[key]

    def _looked_at(self, room: Room) -> Rows:
        rows = [_row(reason) for reason in self._obstacles.of(room)]
        place = self._place(room)
        if place is not None:
            rows = [row for row in rows if row.devices]
            fits = Verdict(None, score=place.score, parts=tuple(place.parts.items()))
            return _merged([*rows, Row(_others(room, rows), fits)])
        others = _others(room, rows)
        if others and all(row.devices for row in rows):
            # they have room, but are too few without those that have none
            rows.append(Row(others, Verdict(None)))
        return _merged(rows)

    def _place(self, room: Room) -> Candidate | None:
        """No group is ever one worker's."""
        search = self._search(OneRoom(room))
        for step in steps(search):
            found = take(search, step) if step.workers == 1 else []
            if found:
                return candidate(search, found[0])
        return None


class _Page:
    """The text of each worker, by id, and all of them packed."""

    __slots__ = ("_packed", "_texts", "_unit")

    def __init__(self, unit: int) -> None:
        self._unit = unit
        self._texts: dict[int, str] = {}
        self._packed: str | None = None

    def put(self, ident: int, rows: Rows) -> None:
        self._texts[ident] = text(rows, self._unit)
        self._packed = None

    def packed(self) -> str:
        if self._packed is None:
            self._packed = pack(self._texts, self._unit)
        return self._packed


def _others(room: Room, rows: Iterable[Row]) -> tuple[str, ...]:
    told = {device for row in rows for device in row.devices}
    return tuple(device.key for device in room.worker.devices if device.key not in told)


def _row(reason: Reason) -> Row:
    devices = (reason.device,) if reason.device else ()
    return Row(devices, Verdict(reason.check, reason.needed, reason.available))


def _merged(rows: Sequence[Row]) -> Rows:
    devices: dict[Verdict, list[str]] = {}
    for row in rows:
        devices.setdefault(row.verdict, []).extend(row.devices)
    return tuple(Row(tuple(found), verdict) for verdict, found in devices.items())
