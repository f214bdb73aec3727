"""Around the end of a model server, up to deadlines: what it is answering is answered to the end before, and
the memory of its devices comes back after."""

import asyncio
from collections.abc import Collection

import structlog
from modelyard_contracts.deployments import Claim

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


async def memory_is_back(machine: Machine, claim: Claim, pids: Collection[int], name: str) -> None:
    """Returns when none of the processes holds memory of the claimed devices, or the deadline has passed."""
    if not claim.vram_bytes:
        return
    begin, told = machine.now(), False
    while await asyncio.to_thread(_held, machine, claim, pids):
        if not told:
            logger.info("an ended model server waits for its memory to be seen back", instance=name)
            told = True
        if (machine.now() - begin).total_seconds() > machine.limits.vram_back_s:
            logger.warning("memory of its devices has not come back", instance=name)
            return
        await asyncio.sleep(LOOK_S)


def _held(machine: Machine, claim: Claim, pids: Collection[int]) -> bool:
    return any(
        process.pid in pids
        for reading in machine.accelerators.readings()
        if reading.device in claim.vram_bytes
        for process in reading.processes
    )
