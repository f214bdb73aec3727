"""Keeps the picture: folds the log into it, lets others wait until it has come far enough, and tells what is
new to who reacts to it."""

import asyncio

import structlog
from modelyard_eventlog.log import AnyRecorded, EventLog

from modelyard_scheduler.domain.picture import Picture

logger = structlog.stdlib.get_logger()


class PictureFeed:
    def __init__(self, log: EventLog) -> None:
        self.picture = Picture()
        self._log = log
        self._grew = asyncio.Condition()
        self._news: list[AnyRecorded] | None = None

    async def run(self) -> None:
        """Folds without end. Raises `UnknownEventType`: deciding on half the truth would be worse."""
        async for batch in self._log.follow(self.picture.position):
            for event in batch:
                self.picture.apply(event)
            if self._news is not None:
                self._news.extend(batch)
            async with self._grew:
                self._grew.notify_all()

    def listen(self) -> None:
        """From now on, `news` tells what comes."""
        self._news = []

    def ignore(self) -> None:
        self._news = None

    async def news(self) -> list[AnyRecorded]:
        """What came since the last call, at least one event; nothing of before `listen`."""
        async with self._grew:
            while not self._news:
                await self._grew.wait()
        found, self._news = self._news, []
        return found

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
