"""Three looks at a model server: has it started, does it serve, does it live. Each has its deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from modelyard_contracts.failures import FailureCause
from modelyard_contracts.messages import Want

from modelyard_worker_agent.adapters.run_files import Launched
from modelyard_worker_agent.domain.failures import Failure
from modelyard_worker_agent.domain.launching import Ask, asks_of
from modelyard_worker_agent.handlers.judging import Judge
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.ports import Listening, Process

LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who hears what was found."""

    running: Callable[[Listening, float], Awaitable[None]]
    """It serves, so many seconds after the watch began."""
    healthy: Callable[[], Awaitable[None]]
    """It was seen healthy just now."""
    unready: Callable[[str], Awaitable[None]]
    """It does not answer, and no requests should be sent to it until it runs again."""


@dataclass
class Probing:
    """`ready`: whether it serves as far as was said; kept by who adopts it."""

    machine: Machine
    want: Want
    process: Process
    launched: Launched
    hearers: Hearers
    ready: bool

    async def until_hung(self, *, ran_before: bool) -> Failure:
        """Returns only when the server is taken to be hung, and why."""
        limits, begin = self.machine.limits, self.machine.now()
        while not ran_before:
            if await self._serves():
                break
            if self.machine.executor.fetching(self.process.directory):
                begin = self.machine.now()
            waited = (self.machine.now() - begin).total_seconds()
            if waited > limits.start_timeout_s:
                message = f"it did not answer within {limits.start_timeout_s:g} s of its start"
                return Failure(FailureCause.START_TIMEOUT, message, None, None)
            await asyncio.sleep(LOOK_S)
        if not self.ready:
            await self._say_running((self.machine.now() - begin).total_seconds())
        missed, judge = 0, Judge(self.machine, self.process, self.want.name)
        while judge.counted < limits.liveness_failures:
            judge.begin()
            await asyncio.sleep(limits.liveness_s)
            if await self._healthy():
                missed, judge.counted = 0, 0
            else:
                missed += 1
                await judge.missed()
            await self._looked(missed)
        return Failure(FailureCause.UNRESPONSIVE, f"it did not answer {missed} looks in a row", None, None)

    async def _looked(self, missed: int) -> None:
        if missed == 0:
            await self.hearers.healthy()
            if not self.ready and await self._serves():
                await self._say_running(0.0)
        elif missed == self.machine.limits.unready_failures and self.ready:
            self.ready = False
            await self.hearers.unready(f"it did not answer {missed} looks in a row")

    async def _say_running(self, seconds: float) -> None:
        at = self._at()
        if at is not None:
            self.ready = True
            await self.hearers.running(at, seconds)
            await self.hearers.healthy()

    async def _serves(self) -> bool:
        """Running means: it answers inference, not only that it listens."""
        at = self._at()
        return at is not None and await self._healthy() and await self._answers(at)

    async def _healthy(self) -> bool:
        at = self._at()
        return at is not None and await self.machine.probe.healthy(at, self.launched.health_path)

    async def _answers(self, at: Listening) -> bool:
        return await self.machine.probe.answers(at, self._asks())

    def _asks(self) -> tuple[Ask, ...]:
        return asks_of(
            self.want.spec, self.launched.backend, self.want.deployment_name, self.launched.arguments
        )

    def _at(self) -> Listening | None:
        return self.machine.executor.listening(self.process.directory)
