"""Presence: each worker's latest heartbeat, which the server itself lets expire."""

import math

import nats.errors
from modelyard_contracts.messages import Heartbeat
from nats.aio.client import Client

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.wire import encode


class Heartbeats:
    """`ttl_s`: after so long without a beat the server marks the worker silent. Whole seconds, at least 1."""

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
