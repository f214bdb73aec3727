"""Joins again in time, so that the credentials are good and the addresses are right."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from modelyard_contracts.join import JoinAnswer
from modelyard_runtime.clock import Now

from modelyard_worker_agent.domain.renewal import renewal_in_s, retry_in_s, trouble
from modelyard_worker_agent.ports import JoinRefused

logger = structlog.stdlib.get_logger()


class AnotherWorker(Exception):
    """The api takes this machine for another worker than before: nothing that runs here fits any more."""


class Renewal:
    """`answer` is the latest; `changed` is set when it leads elsewhere than the one before."""

    def __init__(
        self, join: Callable[[], Awaitable[JoinAnswer]], answer: JoinAnswer, now: Now, *, asked: bool
    ) -> None:
        self.answer = answer
        self.changed = asyncio.Event()
        self._join = join
        self._now = now
        self._asked = asked
        self._refused: str | None = None

    async def run(self) -> None:
        """Without end. Raises `AnotherWorker`."""
        refusals = 0
        pause_s = renewal_in_s(self.answer.nats_jwt_expires_at, self._now(), asked=self._asked)
        while True:
            await asyncio.sleep(pause_s)
            try:
                answer = await self._join()
            except (JoinRefused, OSError) as error:
                refusals += 1
                pause_s = retry_in_s(refusals)
                self._refused = str(error)
                logger.error("credentials are not renewed", why=str(error), retry_in_s=pause_s)
                continue
            refusals, self._refused = 0, None
            self._take(answer)
            pause_s = renewal_in_s(answer.nats_jwt_expires_at, self._now(), asked=True)

    def _take(self, answer: JoinAnswer) -> None:
        before, self.answer = self.answer, answer
        if answer.worker_id != before.worker_id:
            raise AnotherWorker(
                f"the api knows this machine as worker {answer.worker_id}, it was worker {before.worker_id}: "
                "start the agent again"
            )
        if (answer.nats_url, answer.nats_jwt) != (before.nats_url, before.nats_jwt):
            logger.info("credentials are renewed", expires_at=str(answer.nats_jwt_expires_at))
            self.changed.set()

    def trouble(self) -> str | None:
        return trouble(self._refused, self.answer.nats_jwt_expires_at, self._now())
