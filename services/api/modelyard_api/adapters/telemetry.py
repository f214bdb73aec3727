"""The latest that each worker said of how busy it is."""

from modelyard_contracts.messages import Heartbeat
from modelyard_contracts.telemetry import Telemetry
from modelyard_eventlog.heartbeats import follow_heartbeats
from nats.aio.client import Client


class WorkerTelemetry:
    def __init__(self) -> None:
        self._latest: dict[int, Telemetry] = {}

    def of(self, worker_id: int) -> Telemetry | None:
        """None for a worker that is silent."""
        return self._latest.get(worker_id)

    async def follow(self, nc: Client) -> None:
        """Without end."""
        await follow_heartbeats(nc, self.hear)

    async def hear(self, worker_id: int, heartbeat: Heartbeat | None) -> None:
        if heartbeat is None or heartbeat.telemetry is None:
            self._latest.pop(worker_id, None)
        else:
            self._latest[worker_id] = heartbeat.telemetry
