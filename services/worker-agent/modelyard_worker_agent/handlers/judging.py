"""Which of the looks that a model server missed count against it."""

import asyncio
from collections.abc import Mapping

import structlog

from modelyard_worker_agent.adapters.threads import threads_of
from modelyard_worker_agent.domain.starvation import Thread, is_starved
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.ports import Process

logger = structlog.stdlib.get_logger()


class Judge:
    """A look counts unless the machine did not let the server, or the agent itself, run."""

    def __init__(self, machine: Machine, process: Process, name: str) -> None:
        self._machine = machine
        self._process = process
        self._name = name
        self._begun = 0.0
        self._threads: Mapping[int, Thread] | None = None
        """As they were at the last miss; None: it missed none in this row."""
        self.counted = 0
        """Of those missed in a row."""

    def begin(self) -> None:
        self._begun = asyncio.get_running_loop().time()

    async def missed(self) -> None:
        limits = self._machine.limits
        elapsed_s = asyncio.get_running_loop().time() - self._begun
        is_late = elapsed_s > limits.liveness_s + 1.5 * limits.probe_timeout_s
        before, self._threads = self._threads if self.counted else None, await asyncio.to_thread(self._look)
        if is_late or (before is not None and is_starved(before, self._threads, elapsed_s)):
            logger.info("a look at a model server does not count: it was not let run", instance=self._name)
        else:
            self.counted += 1

    def _look(self) -> Mapping[int, Thread]:
        pids = self._machine.executor.pids(self._process.directory)
        return threads_of(pids - {self._process.shim_pid})
