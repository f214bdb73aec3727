"""What an agent costs with 8 devices and 20 instances, at the intervals it has by default."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nats
import psutil
from bench.control_plane import cpu_s
from bench.report import Figure
from conftest import NatsServer
from fake_nvml import GIB, FakeNvml, Gpu, build
from modelyard_worker_agent.settings import WorkerSettings
from modelyard_worker_agent_world import FAST, Machine, machine_at, spec_of, want
from tiny_gguf import write_tiny_gguf

DEVICES, INSTANCES = 8, 20
WATCHED_S = 20.0
SETTLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    cpu_percent: float
    """Of one core."""
    rss_mib: float


async def measure() -> list[Figure]:
    with TemporaryDirectory() as made:
        directory = Path(made)
        write_tiny_gguf(directory / "tiny.gguf")
        nvml = FakeNvml(build(directory), directory / "nvml.txt")
        nvml.say([Gpu(f"GPU-{number}", used=GIB, busy=50) for number in range(DEVICES)])
        async with _machine(directory / "idle") as machine:
            idle = await _watched(machine, {})
        async with _machine(directory / "busy") as machine:
            for instance in range(1, INSTANCES + 1):
                spec = spec_of(directory / "tiny.gguf", "--no-warmup")
                await machine.wish(want(spec, instance=instance))
            busy = await _watched(machine, nvml.environment(), instances=INSTANCES)
    beside = f"{DEVICES} devices and {INSTANCES} instances"
    return [
        Figure("CPU with no device and no instance", idle.cpu_percent, "% of core", 1.0),
        Figure(f"CPU with {beside}", busy.cpu_percent, "% of core", busy.cpu_percent / idle.cpu_percent),
        Figure("memory with no device and no instance", idle.rss_mib, "MiB", 1.0),
        Figure(f"memory with {beside}", busy.rss_mib, "MiB", busy.rss_mib / idle.rss_mib),
    ]


@asynccontextmanager
async def _machine(directory: Path) -> AsyncIterator[Machine]:
    directory.mkdir()
    server = NatsServer(directory)
    server.start()
    await server.wait_until_ready()
    client = await nats.connect(server.url, pending_size=0)
    try:
        async with machine_at(directory, server.url, client) as machine:
            yield machine
    finally:
        await client.close()
        server.kill()


async def _watched(machine: Machine, env: dict[str, str], instances: int = 0) -> Cost:
    agent = psutil.Process(machine.start_agent(**_defaults(), **env).pid)
    await machine.observe("WorkerReady", seconds=60)
    for instance in range(1, instances + 1):
        await machine.observe("InstanceRunning", instance=instance, seconds=300)
    await asyncio.sleep(SETTLE_S)
    before_s = cpu_s(agent)
    await asyncio.sleep(WATCHED_S)
    spent_s = cpu_s(agent) - before_s
    return Cost(100 * spent_s / WATCHED_S, agent.memory_info().rss / 2**20)


def _defaults() -> dict[str, str]:
    """In place of what makes tests short."""
    fields = WorkerSettings.model_fields
    return {name: str(fields[name.removeprefix("MODELYARD_").lower()].default) for name in FAST}
