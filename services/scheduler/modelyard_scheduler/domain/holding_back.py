"""Room that is kept for who has waited longest, so that a large instance does not starve.

The oldest instance that has waited for room longer than `HOLD_AFTER_S` holds back the workers that come
closest to fitting it: nothing younger is placed there. What ends there makes room that stays, so what the
held workers lack only shrinks, until the instance fits (`docs/decisions/0012-no-starvation.md`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nsmallest

from modelyard_contracts.deployments import Reason
from modelyard_contracts.events import Held
from modelyard_placement.counts import Contradiction, counts_of
from modelyard_placement.demand import Demand
from modelyard_placement.index import Index
from modelyard_placement.place import Placement, Unplaceable
from modelyard_placement.room import Room

from modelyard_scheduler.domain.instance import InstanceState, Phase

HOLD_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class Hold:
    instance_id: int
    instance: str
    since: datetime
    workers: frozenset[int]

    def stated(self) -> Held:
        return Held(
            instance_id=self.instance_id,
            instance=self.instance,
            since=self.since,
            worker_ids=tuple(sorted(self.workers)),
        )

    def reason(self, worker: str) -> Reason:
        message = f"{worker} is kept for {self.instance}, which waits for room since {self.since:%H:%M:%S}"
        return Reason(worker=worker, check="held", message=message)


def held_again(stated: Held | None) -> Hold | None:
    if stated is None:
        return None
    return Hold(stated.instance_id, stated.instance, stated.since, frozenset(stated.worker_ids))


def oldest_waiting(waiting: Sequence[InstanceState], now: datetime) -> InstanceState | None:
    """Of those that wait for room, `waiting` oldest first; None if it does not wait for long yet."""
    for state in waiting:
        if state.phase is Phase.UNSCHEDULABLE and not state.deletion_requested:
            return state if now - state.requested_at >= timedelta(seconds=HOLD_AFTER_S) else None
    return None


def held_for(
    state: InstanceState, demand: Demand, found: Placement | Unplaceable, rooms: Index
) -> Hold | None:
    """What is held back for it; None if more room would not help it."""
    if isinstance(found, Placement):
        workers = {found.worker.ident, *(part.worker_id for part in found.subordinates)}
    else:
        workers = _nearest(demand, found.reasons, rooms)
    if not workers:
        return None
    return Hold(state.instance_id, state.name, state.requested_at, frozenset(workers))


def _nearest(demand: Demand, reasons: Sequence[Reason], rooms: Index) -> set[int]:
    """The workers that lack the least, as many as the instance spans; only such as would do if empty."""
    by_worker: dict[str, list[Reason]] = defaultdict(list)
    for reason in reasons:
        by_worker[reason.worker or ""].append(reason)
    devices, span = _asked(demand, rooms, reasons)
    lacking = []
    for room in rooms.everyone():
        found = by_worker.get(room.worker.name, [])
        lack = _lack(found, room, devices) if found else None
        if lack is not None:
            lacking.append((lack, room.worker.ident))
    return {ident for _, ident in nsmallest(span, lacking)}


def _asked(demand: Demand, rooms: Index, reasons: Sequence[Reason]) -> tuple[int, int]:
    """Devices of one worker, and workers: where it is found out how many, as many as some worker waits for
    that has room for its part already."""
    counts = counts_of(demand)
    world = 1 if isinstance(counts, Contradiction) else counts.world or 1
    most = max(rooms.kinds.values(), default=1)
    groups = [int(one.needed or 0) for one in reasons if _is_part(one)]
    return min(world, most), max(-(-world // most), *groups, 1)


def _is_part(reason: Reason) -> bool:
    """It has room for its part of a group, others have not."""
    return reason.check == "group" and reason.available is None


def _lack(reasons: Sequence[Reason], room: Room, devices: int) -> int | None:
    """How many bytes until the worker does; None if it would not do though it were empty."""
    whole = [reason for reason in reasons if reason.device is None]
    if not all(_would_do(reason, room) for reason in whole):
        return None
    of_device = {reason.device: reason for reason in reasons if reason.device is not None}
    lacks = sorted(
        _short(of_device[device.key]) if device.key in of_device else 0
        for device in room.worker.devices
        if device.key not in of_device or _device_would_do(of_device[device.key], device.total_bytes)
    )
    if of_device and len(lacks) < devices:
        return None
    return sum(lacks[:devices]) + sum(_short(reason) for reason in whole)


def _would_do(reason: Reason, room: Room) -> bool:
    """The whole worker, if nothing were on it."""
    match reason.check:
        case "ram":
            return int(reason.needed or 0) <= room.worker.ram_total_bytes
        case "group":
            together = sum(device.total_bytes for device in room.worker.devices)
            return _is_part(reason) or int(reason.needed or 0) <= together
        case _:
            return False


def _device_would_do(reason: Reason, total_bytes: int) -> bool:
    return reason.check == "vram" and int(reason.needed or 0) <= total_bytes


def _short(reason: Reason) -> int:
    return 0 if _is_part(reason) else int(reason.needed or 0) - int(reason.available or 0)
