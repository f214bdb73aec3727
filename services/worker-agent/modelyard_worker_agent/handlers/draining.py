"""Before a model server is ended: what it is answering is answered to the end, up to a deadline."""

import asyncio

import structlog

from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.ports import Process

logger = structlog.stdlib.get_logger()

LOOK_S = 0.2
QUIET_LOOKS = 2
"""So many looks in a row at which nobody was served: a request may be on its way from a router that has not
heard yet."""


async def drain(machine: Machine, process: Process, name: str) -> None:
    """Returns when nobody is served any more, the server has ended, or the deadline has passed."""
    begin, quiet = machine.now(), 0
    while quiet < QUIET_LOOKS and machine.executor.alive(process):
        at = machine.executor.listening(process.directory)
        if at is None:
            return
        busy = await machine.connections.open_to(at)
        quiet = 0 if busy else quiet + 1
        if (machine.now() - begin).total_seconds() > machine.limits.drain_s:
            logger.warning("requests are cut off at the deadline", instance=name, open=busy)
            return
        await asyncio.sleep(LOOK_S)
