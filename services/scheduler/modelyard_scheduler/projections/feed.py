"""Keeps the picture: folds the log into it, and lets others wait until it has come far enough."""

import asyncio

import structlog
from modelyard_eventlog.log import EventLog

from modelyard_scheduler.domain.picture import Picture

logger = structlog.stdlib.get_logger()


class PictureFeed:
    def __init__(self, log: EventLog) -> None:
        self.picture = Picture()
        self._log = log
        self._grew = asyncio.Condition()

    async def run(self) -> None:
        """Folds without end. Raises `UnknownEventType`: deciding on half the truth would be worse."""
        async for batch in self._log.follow(self.picture.position):
            for event in batch:
                self.picture.apply(event)
            async with self._grew:
                self._grew.notify_all()

    async def wait_for(self, seq: int) -> None:
        async with self._grew:
            while self.picture.position < seq:
                await self._grew.wait()

    async def catch_up(self) -> None:
        """Waits until everything that is in the log now is in the picture. Raises `LogUnavailable`."""
        await self.wait_for((await self._log.position()).last_seq)

    async def lag(self) -> int:
        """How many events the picture lacks. Raises `LogUnavailable`."""
        return (await self._log.position()).last_seq - self.picture.position
