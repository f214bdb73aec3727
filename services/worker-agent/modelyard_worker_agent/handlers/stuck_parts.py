"""Notices that a part of a group is stuck, which the primary's health does not show: a server answers looks
while it waits for a part that is gone quiet."""

import asyncio

from modelyard_contracts.failures import FailureCause

from modelyard_worker_agent.adapters.threads import threads_of
from modelyard_worker_agent.domain.failures import Failure
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.ports import Process


async def until_stuck(machine: Machine, process: Process) -> Failure:
    """Returns when one of its processes has been stopped at so many looks in a row."""
    looks = 0
    while looks < machine.limits.liveness_failures:
        await asyncio.sleep(machine.limits.liveness_s)
        looks = looks + 1 if await asyncio.to_thread(_is_stopped, machine, process) else 0
    message = f"one of its processes was stopped at {looks} looks in a row"
    return Failure(FailureCause.UNRESPONSIVE, message, None, None)


def _is_stopped(machine: Machine, process: Process) -> bool:
    pids = machine.executor.pids(process.directory)
    return any(thread.stopped for thread in threads_of(pids).values())
