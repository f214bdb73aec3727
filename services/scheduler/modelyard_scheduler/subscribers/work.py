"""The one scheduler at work: hears the log and the agents as long as it holds the lease, the others stand by.

Standing by means to keep the picture and to know who is there, so that taking over needs no more than a
sweep.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import structlog
from modelyard_eventlog.leases import LeaseLost
from modelyard_eventlog.log import AnyRecorded, Conflict, LogUnavailable
from modelyard_runtime.tracing import span

from modelyard_scheduler.ports import Hearing, Turn
from modelyard_scheduler.subscribers.reacting import Scheduler

logger = structlog.stdlib.get_logger()

RETRY_S = 0.5
KEEP_S = 0.5


@dataclass(slots=True)
class Work:
    scheduler: Scheduler
    lease: Turn
    observations: Hearing
    reconcile_s: float
    at_work: bool = False
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    """Something was left undone, for which a sweep has to make up."""

    async def run(self) -> None:
        """Without end."""
        while True:
            try:
                await self._hold()
            except* LeaseLost as lost:
                logger.warning("stands by", why=str(lost.exceptions[0]))

    async def release(self) -> None:
        """The next one need not wait until this one counts as silent."""
        if self.at_work:
            try:
                await self.lease.release()
            except (LeaseLost, LogUnavailable) as error:
                logger.warning("the lease is not given back", error=str(error))

    async def _hold(self) -> None:
        feed = self.scheduler.decider.feed
        await self._take()
        feed.listen()
        self.at_work = True
        logger.info("at work", position=feed.picture.position)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep())
                tasks.create_task(self._sweep())
                tasks.create_task(self._react())
                tasks.create_task(self._observe())
        finally:
            self.at_work = False
            feed.ignore()

    async def _take(self) -> None:
        while True:
            try:
                await self.lease.take()
                return await self.scheduler.decider.feed.catch_up()
            except LogUnavailable as error:
                logger.warning("waits for the log", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            try:
                await self.lease.keep()
            except LogUnavailable as error:
                logger.warning("will be tried again", error=str(error))

    async def _sweep(self) -> None:
        """At once, then regularly, and soon after something failed."""
        while True:
            self.failed.clear()
            pause_s = self.reconcile_s
            try:
                await self.scheduler.sweep()
            except (LogUnavailable, Conflict) as error:
                logger.warning("will be tried again", error=str(error))
                pause_s = min(RETRY_S, self.reconcile_s)
            try:
                async with asyncio.timeout(pause_s):
                    await self.failed.wait()
                    await asyncio.sleep(RETRY_S)
            except TimeoutError:
                pass

    async def _react(self) -> None:
        while True:
            news = await self.scheduler.decider.feed.news()
            try:
                with spans_of(news):
                    await self.scheduler.react(event.data for event in news)
            except (LogUnavailable, Conflict) as error:
                logger.warning("left to a sweep", error=str(error))
                self.failed.set()

    async def _observe(self) -> None:
        async for observed in self.observations.follow(self.lease.position):
            while True:
                try:
                    await self.scheduler.observe(observed.observations)
                    break
                except (LogUnavailable, Conflict) as error:
                    logger.warning("will be tried again", error=str(error))
                    await asyncio.sleep(RETRY_S)
            self.lease.position = observed.seq


@contextmanager
def spans_of(news: Sequence[AnyRecorded]) -> Iterator[None]:
    """What is done about many facts at once is part of each one's trace."""
    with ExitStack() as spans:
        for event in news:
            name = f"react to {event.type}"
            spans.enter_context(span(name, event.traceparent, "CONSUMER", subject=event.subject))
        yield
