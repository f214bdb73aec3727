"""Carries out what presence comes to: silent, lost, recovered, a storm; and what heartbeats tell besides."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from modelyard_contracts.base import Event
from modelyard_contracts.events import (
    FleetEvent,
    WorkerDiskRoomChanged,
    WorkerEvent,
    WorkerForeignMemoryChanged,
    WorkerLost,
    WorkerRecovered,
    WorkerSilent,
)
from modelyard_contracts.messages import Heartbeat
from modelyard_contracts.telemetry import Telemetry
from modelyard_eventlog.log import Conflict, LogUnavailable, Write

from modelyard_scheduler.domain.disk_room import disk_room_to_state
from modelyard_scheduler.domain.fleet import (
    FleetPolicy,
    Presence,
    Verdicts,
    is_back,
    room_among_the_lost,
    storm,
    verdicts,
)
from modelyard_scheduler.domain.foreign import foreign_to_state
from modelyard_scheduler.domain.worker import WorkerPhase, WorkerState
from modelyard_scheduler.handlers.deciding import Decider, Decision, because

logger = structlog.stdlib.get_logger()

PAUSE_S = 5.0
"""A look that comes later than this after the one before means that this process was held up."""


@dataclass(frozen=True, slots=True)
class FleetHandler:
    decider: Decider
    presence: Presence
    policy: FleetPolicy
    listening: Callable[[], bool]
    at_work: Callable[[], bool]
    """While another scheduler is, this one only listens."""

    async def heard(self, heartbeat: Heartbeat) -> None:
        """Never raises for a log that is away: the next look or heartbeat states what could not be stated
        here."""
        beat = f"{heartbeat.session}/{heartbeat.sent_at}"
        self.presence.heard(heartbeat.worker_id, beat, self.decider.now())
        worker = self.decider.picture.workers.get(heartbeat.worker_id)
        if worker is None or not self.at_work():
            return
        try:
            if is_back(worker, self.presence, self.decider.now(), self.policy):
                await self._recovered(worker)
            await self._measured(worker.worker_id, heartbeat)
        except (LogUnavailable, Conflict) as error:
            logger.warning("to be stated later", worker=worker.name, error=str(error))

    async def _measured(self, worker_id: int, heartbeat: Heartbeat) -> None:
        def decide() -> Decision | None:
            worker = self.decider.picture.workers.get(worker_id)
            if worker is None or heartbeat.telemetry is None or worker.phase is WorkerPhase.DELETED:
                return None
            event = _measured(worker, heartbeat.telemetry, self.decider.now())
            if event is None:
                return None
            return self._decision(f"measured/{worker_id}/{worker.seq}", event, worker.seq)

        await self.decider.state(decide)

    async def look(self) -> None:
        """Call this every second."""
        now = self.decider.now()
        workers = self.decider.picture.workers.values()
        self.presence.look(workers, now, listening=self.listening(), pause_s=PAUSE_S)
        if not self.at_work():
            return
        found = self._verdicts()
        for absence in found.silent:
            silent = WorkerSilent(worker_id=absence.worker.worker_id, last_seen=absence.last_seen)
            await self._state(absence.worker, WorkerPhase.READY, silent)
        for worker in found.recovered:
            await self._recovered(worker)
        if await self.decider.state(self._storm):
            logger.error("a storm: none is given up" if self._rages() else "the storm is over")
        await self._lose(self._verdicts())

    def _verdicts(self) -> Verdicts:
        picture = self.decider.picture
        workers = picture.workers.values()
        return verdicts(workers, self.presence, self.decider.now(), self.policy, picture.fleet)

    def _rages(self) -> bool:
        return self.decider.picture.fleet.storm

    def _storm(self) -> Decision | None:
        picture = self.decider.picture
        event: FleetEvent | None = storm(picture.workers.values(), picture.fleet, self.policy)
        if event is None:
            return None
        return self._decision(f"storm/{picture.fleet.seq}", event, picture.fleet.seq)

    async def _lose(self, found: Verdicts) -> None:
        for absence in found.lost:
            lost = WorkerLost(
                worker_id=absence.worker.worker_id,
                last_seen=absence.last_seen,
                grace_s=self.policy.grace_s,
            )
            await self.decider.feed.catch_up()
            await self._state(absence.worker, WorkerPhase.SILENT, lost)
        if found.withheld and not self._rages():
            logger.error(
                "as many workers are lost as may be: no further one is given up",
                withheld=found.withheld,
                max_lost_share=self.policy.max_lost_share,
            )

    async def _recovered(self, worker: WorkerState) -> None:
        await self._state(worker, worker.phase, WorkerRecovered(worker_id=worker.worker_id))

    async def _state(self, worker: WorkerState, phase: WorkerPhase, event: WorkerEvent) -> None:
        """States it as long as the worker is still in the phase that it was decided in, and no other
        scheduler has given up as many as may be."""

        def decide() -> Decision | None:
            current = self.decider.picture.workers.get(worker.worker_id)
            if current is None or current.phase is not phase:
                return None
            if isinstance(event, WorkerLost) and not self._may_lose():
                return None
            return self._decision(f"presence/{worker.worker_id}/{current.seq}", event, current.seq)

        if await self.decider.state(decide):
            logger.warning(type(event).__name__, worker=worker.name)

    def _may_lose(self) -> bool:
        workers = self.decider.picture.workers.values()
        return not self._rages() and room_among_the_lost(workers, self.policy) > 0

    def _decision(self, command_id: str, event: Event, expected_seq: int) -> Decision:
        cause = because(
            command_id,
            correlation_id=command_id,
            causation_id=command_id,
            time=self.decider.now(),
        )
        return Decision([Write(event, expected_seq)], cause)


def _measured(worker: WorkerState, telemetry: Telemetry, now: datetime) -> WorkerEvent | None:
    """One fact at a time: the next heartbeat brings the other."""
    foreign = foreign_to_state(worker, telemetry, now)
    if foreign is not None:
        return WorkerForeignMemoryChanged(worker_id=worker.worker_id, vram_bytes=foreign)
    room = disk_room_to_state(worker, telemetry, now)
    if room is not None:
        return WorkerDiskRoomChanged(worker_id=worker.worker_id, room_bytes=room)
    return None
