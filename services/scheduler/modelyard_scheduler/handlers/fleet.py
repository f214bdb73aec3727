"""Carries out what presence comes to: silent, lost, recovered."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from modelyard_contracts.events import WorkerEvent, WorkerLost, WorkerRecovered, WorkerSilent
from modelyard_contracts.messages import Heartbeat
from modelyard_eventlog.log import Conflict, LogUnavailable, Write

from modelyard_scheduler.domain.fleet import FleetPolicy, Presence, is_back, room_among_the_lost, verdicts
from modelyard_scheduler.domain.worker import WorkerPhase, WorkerState
from modelyard_scheduler.handlers.deciding import SYSTEM, Decider, Decision, because

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
        """Never raises for a log that is away: the next look states what could not be stated here."""
        beat = f"{heartbeat.session}/{heartbeat.sent_at}"
        self.presence.heard(heartbeat.worker_id, beat, self.decider.now())
        worker = self.decider.picture.workers.get(heartbeat.worker_id)
        if not self.at_work():
            return
        if worker and is_back(worker, self.presence, self.decider.now(), self.policy):
            try:
                await self._recovered(worker)
            except (LogUnavailable, Conflict) as error:
                logger.warning("a worker is back, to be stated later", worker=worker.name, error=str(error))

    async def look(self) -> None:
        """Call this every second."""
        now = self.decider.now()
        workers = self.decider.picture.workers.values()
        self.presence.look(workers, now, listening=self.listening(), pause_s=PAUSE_S)
        if not self.at_work():
            return
        found = verdicts(workers, self.presence, now, self.policy)
        for absence in found.silent:
            silent = WorkerSilent(worker_id=absence.worker.worker_id, last_seen=absence.last_seen)
            await self._state(absence.worker, WorkerPhase.READY, silent)
        for worker in found.recovered:
            await self._recovered(worker)
        for absence in found.lost:
            lost = WorkerLost(
                worker_id=absence.worker.worker_id,
                last_seen=absence.last_seen,
                grace_s=self.policy.grace_s,
            )
            await self.decider.feed.catch_up()
            await self._state(absence.worker, WorkerPhase.SILENT, lost)
        if found.withheld:
            logger.error(
                "many workers are silent at once: none beyond the limit is given up",
                withheld=found.withheld,
                max_lost_share=self.policy.max_lost_share,
            )

    async def _recovered(self, worker: WorkerState) -> None:
        await self._state(worker, worker.phase, WorkerRecovered(worker_id=worker.worker_id))

    async def _state(self, worker: WorkerState, phase: WorkerPhase, event: WorkerEvent) -> None:
        """States it as long as the worker is still in the phase that it was decided in, and no other
        scheduler has given up as many as may be."""

        def decide() -> Decision | None:
            workers = self.decider.picture.workers
            current = workers.get(worker.worker_id)
            if current is None or current.phase is not phase:
                return None
            if isinstance(event, WorkerLost) and not room_among_the_lost(workers.values(), self.policy):
                return None
            command_id = f"presence/{worker.worker_id}/{current.seq}"
            cause = because(
                command_id,
                correlation_id=command_id,
                causation_id=command_id,
                actor=SYSTEM,
                time=self.decider.now(),
            )
            return Decision([Write(event, current.seq)], cause)

        if await self.decider.state(decide):
            logger.warning(type(event).__name__, worker=worker.name)
