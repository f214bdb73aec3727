"""Measures what a model server holds, for the log to have beside the estimate."""

import asyncio
from collections.abc import Callable

from modelyard_contracts.events import InstanceMemoryMeasured
from modelyard_contracts.messages import Want

from modelyard_worker_agent.domain.measuring import Held
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.handlers.starting import launched_unknown
from modelyard_worker_agent.ports import Process


async def when_served(
    machine: Machine, want: Want, process: Process, served_s: Callable[[], float]
) -> InstanceMemoryMeasured | None:
    """What it holds once it has served long enough; None if nothing can be read of it."""
    while (seconds := served_s()) < machine.limits.measure_after_s:
        await asyncio.sleep(machine.limits.liveness_s)
    held = await asyncio.to_thread(_held, machine, process)
    if held.ram_bytes is None and not held.vram_bytes:
        return None
    launched = machine.files.launched(process.directory) or launched_unknown(want)
    at = machine.executor.listening(process.directory)
    return InstanceMemoryMeasured(
        instance_id=want.instance_id,
        deployment_id=want.deployment_id,
        worker_id=machine.worker_id,
        attempt=want.attempt,
        model=want.spec.location(),
        backend=launched.backend,
        backend_version=at.version if at else launched.version or "",
        served_s=round(seconds, 3),
        vram_bytes=dict(held.vram_bytes),
        ram_bytes=held.ram_bytes,
        anonymous_bytes=held.anonymous_bytes,
        claim=want.claim,
    )


def _held(machine: Machine, process: Process) -> Held:
    """Without the processes of ours that stand for it."""
    own = {process.shim_pid, process.pid} if machine.executor.in_container else {process.shim_pid}
    return machine.memory.held_by(machine.executor.pids(process.directory) - own)
