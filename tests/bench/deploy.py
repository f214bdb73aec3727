"""From the deploy request to the model server's process, through every service."""

import asyncio
import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx
from bench.report import Figure, quantile
from e2e.stack import Stack, deploy, running, running_count, story, until_instances
from modelyard_worker_agent.launchers import shim
from tiny_gguf import write_tiny_gguf

ROUNDS = 15


async def measure() -> list[Figure]:
    with TemporaryDirectory() as directory:
        model = Path(directory) / "tiny.gguf"
        write_tiny_gguf(model)
        async with running() as stack, stack.client() as client:
            return await _rounds(stack, client, model)


async def _rounds(stack: Stack, client: httpx.AsyncClient, model: Path) -> list[Figure]:
    bare: list[float] = []
    started: list[float] = []
    serving: list[float] = []
    agent: list[float] = []
    for number in range(ROUNDS):
        bare.append(await asyncio.to_thread(_bare_start, Path(stack.directory) / f"bare{number}"))
        listening = asyncio.create_task(_first_start(client))
        await asyncio.sleep(0.2)
        begun = time.perf_counter()
        made = await deploy(client, model, f"bench-{number}")
        started.append(await listening - begun)
        [instance] = await until_instances(client, made["id"], running_count(1))
        serving.append(time.perf_counter() - begun)
        agent.append(await _from_scheduled(stack, client, instance["id"]))
        await client.delete(f"/v2/models/{made['id']}")
    base = median(bare)
    return [
        Figure("bare fork and exec of the same shim, p50", base * 1000, "ms", 1.0),
        Figure(
            "deploy request to process started, p50",
            median(started) * 1000,
            "ms",
            median(started) / base,
            "<= 300 ms",
        ),
        Figure(
            "deploy request to process started, p90",
            quantile(started, 0.9) * 1000,
            "ms",
            quantile(started, 0.9) / base,
        ),
        Figure("InstanceScheduled to process started, p50", median(agent) * 1000, "ms", median(agent) / base),
        Figure(
            "deploy request to serving (tiny model), p50",
            median(serving) * 1000,
            "ms",
            median(serving) / base,
        ),
    ]


async def _first_start(client: httpx.AsyncClient) -> float:
    """When the next InstanceStarting reaches a subscriber: after the process was started, so no less."""
    params = {"type": "InstanceStarting", "follow": "true"}
    async with client.stream("GET", "/v2/events", params=params, timeout=60) as response:
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                json.loads(line[5:])
                return time.perf_counter()
    raise RuntimeError("the event stream ended")


async def _from_scheduled(stack: Stack, client: httpx.AsyncClient, instance_id: int) -> float:
    """By the clock of this machine: the fact's own time, and when the shim wrote down that it had started."""
    events = await story(client, f"instance/{instance_id}")
    [scheduled] = [event["time"] for event in events if event["type"] == "InstanceScheduled"]
    [child] = stack.state.rglob(f"instances/{instance_id}/0/child.json")
    return child.stat().st_mtime - datetime.fromisoformat(scheduled).timestamp()


def _bare_start(directory: Path) -> float:
    """What the operating system alone needs to start the same processes."""
    directory.mkdir()
    begun = time.perf_counter()
    command = [sys.executable, "-I", "-S", shim.__file__, str(directory), "0", sys.executable, "-c", "pass"]
    process = subprocess.Popen(command)
    while not (directory / "child.json").exists():
        time.sleep(0.001)
    taken = time.perf_counter() - begun
    process.wait()
    return taken
