"""The latest that each worker said of how busy it is."""

from datetime import datetime, timedelta

from modelyard_contracts.messages import Heartbeat
from modelyard_contracts.telemetry import Telemetry
from modelyard_eventlog.heartbeats import follow_heartbeats
from modelyard_runtime.clock import Now
from nats.aio.client import Client

FRESH = timedelta(seconds=10)
"""Some heartbeats may be missed."""


class WorkerTelemetry:
    def __init__(self, now: Now) -> None:
        self._now = now
        self._latest: dict[int, tuple[datetime, Telemetry]] = {}

    def of(self, worker_id: int) -> Telemetry | None:
        """None for a worker that is silent."""
        heard_at, telemetry = self._latest.get(worker_id, (None, None))
        return telemetry if heard_at is not None and self._now() - heard_at <= FRESH else None

    async def follow(self, nc: Client) -> None:
        """Without end."""
        await follow_heartbeats(nc, self.hear)

    async def hear(self, heartbeat: Heartbeat) -> None:
        if heartbeat.telemetry is None:
            self._latest.pop(heartbeat.worker_id, None)
        else:
            self._latest[heartbeat.worker_id] = (self._now(), heartbeat.telemetry)
