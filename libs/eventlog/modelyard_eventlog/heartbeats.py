"""Presence: each worker's latest heartbeat, which the server itself lets expire."""

import math
from collections.abc import Awaitable, Callable

import nats.errors
import structlog
from modelyard_contracts.messages import Heartbeat
from nats.aio.client import Client

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.provision import provision
from modelyard_eventlog.reader import PullReader
from modelyard_eventlog.wire import encode

logger = structlog.stdlib.get_logger()

OnHeartbeat = Callable[[Heartbeat], Awaitable[None]]


class Heartbeats:
    """`ttl_s`: after so long the server forgets a beat. Whole seconds, at least 1."""

    def __init__(self, nc: Client, *, ttl_s: float) -> None:
        self._nc = nc
        self._headers = {"Nats-TTL": f"{max(1, math.ceil(ttl_s))}s"}

    async def beat(self, heartbeat: Heartbeat) -> None:
        """Not acknowledged: the next one comes soon. Raises `LogUnavailable` while disconnected."""
        try:
            await self._nc.publish(
                subjects.heartbeat(heartbeat.worker_id), encode(heartbeat), headers=self._headers
            )
        except (nats.errors.Error, OSError) as error:
            raise LogUnavailable("not connected") from error


async def follow_heartbeats(nc: Client, handler: OnHeartbeat) -> None:
    """The latest of each worker, then every new one, without end. A worker may publish on its own subject
    only, so a beat in the name of another is left out."""
    reader = PullReader(
        nc, subjects.HB, subject=subjects.ALL_HEARTBEATS, last_per_subject=True, on_restart=provision
    )
    async for messages in reader.batches(500):
        for _, message in messages:
            try:
                heartbeat = Heartbeat.model_validate_json(message.data)
            except ValueError as error:
                logger.warning("no heartbeat", subject=message.subject, error=str(error))
                continue
            if message.subject != subjects.heartbeat(heartbeat.worker_id):
                logger.error("a worker beat for another", subject=message.subject, worker=heartbeat.worker_id)
                continue
            await handler(heartbeat)
