"""What every worker and device is to a demand: its score by part, or the first check that fails there.

Each worker is looked at as if it were the only one. Rooms that are alike are looked at once, and what is the
same of many is said once: no worker is missing, however many there are.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from modelyard_contracts.deployments import Alike, Candidate, Members, Reason

from modelyard_placement.claims import Sizer
from modelyard_placement.counts import Counts
from modelyard_placement.demand import Demand
from modelyard_placement.explain import Obstacles
from modelyard_placement.filters import CHECKS, worker_obstacle
from modelyard_placement.place import candidate
from modelyard_placement.room import Room
from modelyard_placement.rooms import OneRoom, Rooms
from modelyard_placement.search import Search, search_in
from modelyard_placement.strategies import steps, take

MOST_DEMANDS, MOST_ROOMS = 64, 20_000
"""That are remembered."""
MOST_GROUPS = 64
"""With more different ones, those of a check are told together, with the least and the most."""

Amount = int | str | None
Parts = tuple[tuple[str, float], ...]


class Verdict(NamedTuple):
    check: str | None
    """None: nothing stands against it."""
    needed: Amount = None
    available: Amount = None
    score: float | None = None
    parts: Parts = ()


class Row(NamedTuple):
    """Of some devices of a worker, or of the worker where it names none."""

    devices: tuple[str, ...]
    verdict: Verdict


Rows = tuple[Row, ...]
NOBODY: frozenset[int] = frozenset()
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
    """Of one demand; `held` are workers that are kept for somebody else."""

    def __init__(
        self,
        rooms: Rooms,
        demand: Demand,
        counts: Counts,
        sizer: Sizer,
        held: frozenset[int] = NOBODY,
        looks: Looks | None = None,
    ) -> None:
        self._demand = demand
        self._counts = counts
        self._sizer = sizer
        self._held = held
        self._location = demand.location
        self._known = (looks or Looks()).of(demand, rooms)
        self._obstacles = Obstacles(self._search(rooms))
        self.rows = {room.worker.ident: self._of(room) for room in rooms.everyone()}
        """By worker."""

    def look_again(self, room: Room) -> None:
        """At a room of which something was taken or given back."""
        self.rows[room.worker.ident] = self._of(room)

    def _search(self, rooms: Rooms) -> Search:
        demand = self._demand
        return search_in(rooms, demand, self._counts, demand.spec.placement_strategy, self._sizer)

    def _of(self, room: Room) -> Rows:
        if room.worker.ident in self._held:
            return HELD
        obstacle = worker_obstacle(self._demand, room.worker)
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


# --- as it is stated -------------------------------------------------------------------------------


Membership = dict[tuple[str, ...], list[int]]


def alike(
    rows_of: Mapping[int, Rows], *, by_device: bool = True, most_groups: int = MOST_GROUPS
) -> tuple[Alike, ...]:
    """Every worker of `rows_of`, by id. Not `by_device`, each is told of once: by its score, else by what
    comes closest there."""
    # rooms that are alike share one value, whose identity is cheaper to look at than its content
    together: dict[int, tuple[Rows, list[int]]] = {}
    for ident, rows in rows_of.items():
        together.setdefault(id(rows), (rows, []))[1].append(ident)
    groups: dict[Verdict, Membership] = {}
    for rows, idents in together.values():
        for row in rows if by_device else (Row((), _closest(rows)),):
            groups.setdefault(row.verdict, {}).setdefault(row.devices, []).extend(idents)
    if len(groups) <= most_groups:
        return tuple(_exact(verdict, members) for verdict, members in groups.items())
    return tuple(_ranged(groups))


def _closest(rows: Rows) -> Verdict:
    fitting = [row.verdict for row in rows if row.verdict.score is not None]
    obstacles = [row.verdict for row in rows if row.verdict.check is not None]
    return fitting[0] if fitting else max(obstacles, key=_closeness)


def _closeness(verdict: Verdict) -> tuple[int, int]:
    needed, available = verdict.needed, verdict.available
    short = needed - available if isinstance(needed, int) and isinstance(available, int) else 0
    return CHECKS.index(verdict.check or ""), -short


def _exact(verdict: Verdict, members: Membership) -> Alike:
    return Alike(
        check=verdict.check,
        needed=verdict.needed,
        available=verdict.available,
        score=verdict.score,
        parts=dict(verdict.parts),
        members=_members(members),
    )


def _ranged(groups: dict[Verdict, Membership]) -> Iterable[Alike]:
    """Those of one check that need the same, whatever they have."""
    kinds: dict[tuple[str | None, Amount, bool], list[Verdict]] = {}
    for verdict in groups:
        kinds.setdefault((verdict.check, verdict.needed, verdict.score is None), []).append(verdict)
    for (check, needed, _), verdicts in kinds.items():
        members: Membership = {}
        for verdict in verdicts:
            for devices, idents in groups[verdict].items():
                members.setdefault(devices, []).extend(idents)
        amounts = [one.available for one in verdicts if isinstance(one.available, int)]
        scores = [one.score for one in verdicts if one.score is not None]
        yield Alike(
            check=check,
            needed=needed,
            available=min(amounts, default=None),
            available_most=max(amounts, default=None),
            score=min(scores, default=None),
            score_most=max(scores, default=None),
            members=_members(members),
        )


def _members(members: Membership) -> tuple[Members, ...]:
    return tuple(Members(devices=devices, workers=_ranges(idents)) for devices, idents in members.items())


def _ranges(idents: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each unbroken run of ids."""
    found: list[tuple[int, int]] = []
    for ident in sorted(idents):
        if found and found[-1][1] == ident - 1:
            found[-1] = found[-1][0], ident
        else:
            found.append((ident, ident))
    return tuple(found)
