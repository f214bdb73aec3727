"""Timers that outlive every process: the server itself publishes a message at the set time."""

from datetime import datetime

import nats.errors
from modelyard_contracts.base import utc
from nats.aio.client import Client
from nats.js.errors import APIError

from modelyard_eventlog import subjects
from modelyard_eventlog.log import LogUnavailable


class Timers:
    """They may fire late (a burst of thousands by seconds) or, if the server loses them, never: what they
    start must also be found by a periodic look at the state."""

    def __init__(self, nc: Client) -> None:
        self._js = nc.jetstream(timeout=5)

    async def set(self, name: str, at: datetime) -> None:
        """`name` is a dotted token, as in `restart.17.2`; setting it again moves it.

        Raises `LogUnavailable`.
        """
        headers = {
            "Nats-Schedule": f"@at {utc(at)}",
            "Nats-Schedule-Target": subjects.timer_fired(name),
            "Nats-Schedule-TTL": "10m",
        }
        try:
            await self._js.publish(subjects.timer_set(name), b"", stream=subjects.TIMERS, headers=headers)
        except (nats.errors.Error, APIError, TimeoutError, OSError) as error:
            raise LogUnavailable("a timer could not be set") from error
