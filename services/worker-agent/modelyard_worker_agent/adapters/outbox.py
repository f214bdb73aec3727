"""Facts on their way: on disk until the observation stream has them, in the order they were said."""

import asyncio
from pathlib import Path

import structlog
from modelyard_contracts.base import Event
from modelyard_contracts.messages import Observation, Want
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.observations import ObservationRefused, Observations
from modelyard_runtime.clock import Now
from modelyard_runtime.private_files import write_private

logger = structlog.stdlib.get_logger()

RETRY_S = 0.3


class Outbox:
    def __init__(self, directory: Path, worker_id: int, now: Now) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._worker_id = worker_id
        self._now = now
        self._more = asyncio.Event()
        used = [int(path.stem) for path in directory.glob("*.*") if path.stem.isdecimal()]
        self._next = max(used, default=0) + 1
        self._more.set()

    async def say(self, event: Event, *, of: Want, ident: str) -> None:
        self._keep(event, ident, of.correlation_id, of.traceparent)

    def say_of_worker(self, event: Event, *, ident: str) -> None:
        """A fact about this machine itself."""
        self._keep(event, ident, ident)

    def _keep(self, event: Event, ident: str, correlation_id: str, traceparent: str | None = None) -> None:
        observation = Observation(
            id=ident,
            worker_id=self._worker_id,
            event_type=type(event).__name__,
            version=event.version,
            data=event.model_dump(mode="json"),
            observed_at=self._now(),
            correlation_id=correlation_id,
            causation_id=correlation_id,
            actor=f"worker/{self._worker_id}",
            traceparent=traceparent,
        )
        path = self._directory / f"{self._next:012}.json"
        self._next += 1
        write_private(path, observation.model_dump_json())
        self._more.set()

    async def send(self, observations: Observations) -> None:
        """Sends what waits and what comes, without end. What is not acknowledged stays and is tried again."""
        while True:
            await self._more.wait()
            self._more.clear()
            for path in sorted(self._directory.glob("*.json")):
                await self._send_one(path, observations)

    async def _send_one(self, path: Path, observations: Observations) -> None:
        try:
            observation = Observation.model_validate_json(path.read_text())
        except (ValueError, OSError) as error:
            self._set_aside(path, ".unreadable", str(error))
            return
        if observation.worker_id != self._worker_id:
            self._set_aside(path, ".refused", f"it is of worker {observation.worker_id}, not of this one")
            return
        while True:
            try:
                await observations.publish(observation)
            except LogUnavailable:
                await asyncio.sleep(RETRY_S)
            except ObservationRefused as error:
                self._set_aside(path, ".refused", str(error))
                return
            else:
                path.unlink()
                return

    @staticmethod
    def _set_aside(path: Path, suffix: str, why: str) -> None:
        """So that it holds up no other; it stays for a person to look at."""
        aside = path.with_suffix(suffix)
        logger.error("a fact cannot be sent and is set aside", path=str(aside), why=why)
        path.replace(aside)
