"""Which workers are there: silent after a while without a heartbeat, lost after a longer one.

Only what this scheduler could have heard counts: while it was not listening (not started, not connected,
paused), every worker gets the benefit of the doubt and its time starts anew.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import FleetEvent, FleetStormDetected, FleetStormEnded

from modelyard_scheduler.domain.worker import WorkerPhase, WorkerState


@dataclass(frozen=True, slots=True)
class FleetPolicy:
    silent_after_s: float = 15.0
    grace_s: float = 180.0
    max_lost_share: float = 0.3
    """How much of the fleet may be counted lost at a time, and how much may be silent at once without being
    a storm; at least one worker always may."""


@dataclass(frozen=True, slots=True)
class FleetState:
    """What the log says of all workers together."""

    seq: int = 0
    storm: bool = False
    storm_ended_at: datetime | None = None


def evolve(state: FleetState, recorded: Recorded[FleetEvent]) -> FleetState:
    if isinstance(recorded.data, FleetStormDetected):
        return replace(state, seq=recorded.seq, storm=True)
    return replace(state, seq=recorded.seq, storm=False, storm_ended_at=recorded.time)


def storm(
    workers: Collection[WorkerState], fleet: FleetState, policy: FleetPolicy
) -> FleetStormDetected | FleetStormEnded | None:
    """What is to be said about a storm: it began, it ended, or nothing new."""
    size = len(_at_work_once(workers))
    silent = tuple(sorted(w.worker_id for w in workers if w.phase is WorkerPhase.SILENT))
    rages = len(silent) > lost_limit(size, policy.max_lost_share)
    if rages == fleet.storm:
        return None
    if rages:
        return FleetStormDetected(
            silent_workers=silent, fleet_size=size, max_lost_share=policy.max_lost_share
        )
    return FleetStormEnded(silent_workers=silent, fleet_size=size)


@dataclass(frozen=True, slots=True)
class Absence:
    worker: WorkerState
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Verdicts:
    silent: tuple[Absence, ...] = ()
    lost: tuple[Absence, ...] = ()
    recovered: tuple[WorkerState, ...] = ()
    withheld: int = 0
    """Workers that would count as lost, were it not for the limit."""


class Presence:
    """When each worker was heard last, and since when this scheduler has been listening without a break.

    All on this scheduler's clock: a worker's own may be wrong by hours.
    """

    def __init__(self, now: datetime) -> None:
        self.listening_since = now
        self._looked_at = now
        self._seen: dict[int, datetime] = {}
        self._beats: dict[int, str] = {}
        self._ready_seqs: dict[int, int] = {}

    def heard(self, worker_id: int, beat: str, now: datetime) -> None:
        """`beat` tells one heartbeat from the next: the same one read again is no sign of life."""
        if self._beats.get(worker_id) != beat:
            self._beats[worker_id] = beat
            self._seen[worker_id] = now

    def look(
        self, workers: Collection[WorkerState], now: datetime, *, listening: bool, pause_s: float
    ) -> None:
        """Call this regularly. Not listening, or a break of more than `pause_s` since the last look (the
        process slept, the clock jumped), starts everybody's time anew; coming to work, that worker's."""
        if not listening or abs(now - self._looked_at) > timedelta(seconds=pause_s):
            self.listening_since = now
        self._looked_at = now
        for worker in workers:
            if worker.ready_seq > self._ready_seqs.get(worker.worker_id, 0):
                self._ready_seqs[worker.worker_id] = worker.ready_seq
                if worker.phase is WorkerPhase.READY:
                    self._seen[worker.worker_id] = now

    def heard_at(self, worker_id: int) -> datetime | None:
        return self._seen.get(worker_id)

    def last_seen(self, worker_id: int) -> datetime:
        """The latest moment until which silence cannot be blamed on the worker."""
        return max(self._seen.get(worker_id, self.listening_since), self.listening_since)


def lost_limit(fleet_size: int, max_lost_share: float) -> int:
    return max(1, int(fleet_size * max_lost_share))


def verdicts(
    workers: Collection[WorkerState],
    presence: Presence,
    now: datetime,
    policy: FleetPolicy,
    fleet: FleetState = FleetState(),
) -> Verdicts:
    """Who fell silent, who is lost and who is back, of all workers. In a storm nobody is lost, and after it
    each gets the whole grace anew.

    Those are lost first whose silence the log dates earliest: so do two schedulers agree on them.
    """
    silent: list[Absence] = []
    recovered: list[WorkerState] = []
    overdue: list[Absence] = []
    for worker in workers:
        absence = Absence(worker, presence.last_seen(worker.worker_id))
        away_s = (now - absence.last_seen).total_seconds()
        match worker.phase:
            case WorkerPhase.READY:
                if away_s >= policy.silent_after_s:
                    silent.append(absence)
            case WorkerPhase.SILENT | WorkerPhase.LOST:
                if is_back(worker, presence, now, policy):
                    recovered.append(worker)
                elif worker.phase is WorkerPhase.SILENT and _is_overdue(absence, now, policy, fleet):
                    overdue.append(absence)
            case WorkerPhase.REGISTERED | WorkerPhase.DELETED:
                pass
            case _:
                assert_never(worker.phase)
    overdue.sort(key=lambda absence: (absence.worker.last_seen, absence.worker.worker_id))
    room = 0 if fleet.storm else room_among_the_lost(workers, policy)
    return Verdicts(
        silent=tuple(silent),
        lost=tuple(overdue[:room]),
        recovered=tuple(recovered),
        withheld=max(0, len(overdue) - room),
    )


def _is_overdue(absence: Absence, now: datetime, policy: FleetPolicy, fleet: FleetState) -> bool:
    since = max(absence.last_seen, fleet.storm_ended_at or absence.last_seen)
    return (now - since).total_seconds() >= policy.grace_s


def is_back(worker: WorkerState, presence: Presence, now: datetime, policy: FleetPolicy) -> bool:
    """Whether a silent or lost worker has been heard of lately."""
    if worker.phase not in (WorkerPhase.SILENT, WorkerPhase.LOST):
        return False
    heard = presence.heard_at(worker.worker_id)
    return (
        heard is not None
        and heard > worker.last_seen
        and (now - heard).total_seconds() < policy.silent_after_s
    )


def room_among_the_lost(workers: Collection[WorkerState], policy: FleetPolicy) -> int:
    """How many more may be lost now."""
    fleet = _at_work_once(workers)
    lost = sum(1 for worker in fleet if worker.phase is WorkerPhase.LOST)
    return max(0, lost_limit(len(fleet), policy.max_lost_share) - lost)


def _at_work_once(workers: Collection[WorkerState]) -> list[WorkerState]:
    """The fleet: workers that never came to work are not part of it."""
    return [w for w in workers if w.phase not in (WorkerPhase.REGISTERED, WorkerPhase.DELETED)]
