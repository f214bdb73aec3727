"""A scheduler that starts on a long log."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

import psutil
from bench.agents import GIB, GPUS, SESSION, inventory
from bench.control_plane import WORKERS, Plane, cpu_s, fill, plane
from bench.facts import MODEL_KNOWN, SPEC, registered, wish
from bench.report import Figure
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim
from modelyard_contracts.events import (
    Decision,
    InstanceFailed,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceRunning,
    InstanceScheduled,
    InstanceStarting,
    WorkerDevicesReserved,
    WorkerInventoryChanged,
    WorkerReady,
)
from modelyard_eventlog.nats_log import NatsEventLog
from nats.aio.client import Client

EVENTS = 100_000
INSTANCES = 10_000


async def measure() -> list[Figure]:
    async with plane() as found:
        return await _restart(found)


async def _restart(plane: Plane) -> list[Figure]:
    """A log of 100,000 events, of which 10,000 instances are left."""
    await fill(plane.client, history())
    last = (await NatsEventLog(plane.client).position()).last_seq
    reading_cpu_s = time.process_time()
    reading_s = await _reading(plane.client, last)
    reading_cpu_s = time.process_time() - reading_cpu_s
    whole = await _start(plane, 1)
    await plane.said("scheduler", "a snapshot is kept")
    plane.end("scheduler")
    again = await _start(plane, 2)
    await asyncio.sleep(5)
    rss = again.process.memory_info().rss / 1024**2
    taken_over_s = await _takeover(plane)
    return [
        Figure(f"reading {last:,} events, no more", reading_s, "s", 1.0),
        Figure(
            "start of the scheduler on the log alone, until it is up", whole.up_s, "s", whole.up_s / reading_s
        ),
        Figure("... CPU of it, start of the process included", whole.cpu_s, "s", whole.cpu_s / reading_cpu_s),
        Figure("restart from its snapshot, until it is up", again.up_s, "s", again.up_s / reading_s, "< 5 s"),
        Figure("... CPU of it, start of the process included", again.cpu_s, "s", again.cpu_s / reading_cpu_s),
        Figure("... and until it is at work", again.at_work_s, "s", again.at_work_s / reading_s),
        Figure("it is killed: until one that stood by is at work", taken_over_s, "s"),
        Figure(f"its memory at {INSTANCES:,} instances on {WORKERS:,} workers", rss, "MiB", None, "<= 500"),
    ]


@dataclass(frozen=True)
class Start:
    process: psutil.Process
    up_s: float
    cpu_s: float
    at_work_s: float


async def _start(plane: Plane, times: int) -> Start:
    begun = time.perf_counter()
    process = plane.start_scheduler()
    await plane.said("scheduler", "scheduler is up", times=times)
    up_s, used_s = time.perf_counter() - begun, cpu_s(process)
    await plane.said("scheduler", "at work", times=times)
    return Start(process, up_s, used_s, time.perf_counter() - begun)


async def _takeover(plane: Plane) -> float:
    plane.start("standby", "modelyard_scheduler", f"--nats={plane.nats.url}")
    await plane.said("standby", "scheduler is up")
    await asyncio.sleep(5)
    begun = time.perf_counter()
    plane.end("scheduler")
    await plane.said("standby", "at work")
    return time.perf_counter() - begun


async def _reading(client: Client, last: int) -> float:
    """What a loop takes that decodes every event and keeps none."""
    begun = time.perf_counter()
    async for batch in NatsEventLog(client).follow(0):
        if batch[-1].seq >= last:
            break
    return time.perf_counter() - begun


def history() -> list[Event]:
    """Workers, a wish, and instances that ran; then restarts until there are enough events."""
    events: list[Event] = [MODEL_KNOWN, wish(INSTANCES)]
    for ident in range(1, WORKERS + 1):
        events += [
            registered(ident),
            joined(ident),
            WorkerInventoryChanged(worker_id=ident, inventory=inventory()),
        ]
    for ident in range(1, INSTANCES + 1):
        events += lived(ident)
    attempts = count(1)
    while len(events) < EVENTS:
        attempt = next(attempts)
        for ident in range(1, INSTANCES + 1):
            events += restarted(ident, attempt)
    return events[:EVENTS]


def joined(ident: int) -> WorkerReady:
    return WorkerReady(worker_id=ident, address="127.0.0.1", agent_version="1", session=SESSION)


def lived(ident: int) -> list[Event]:
    worker = ident % WORKERS + 1
    device = f"cuda:{ident // WORKERS % GPUS}"
    claim = Claim(vram_bytes={device: 24 * GIB}, fraction=0.3)
    return [
        InstanceRequested(
            instance_id=ident,
            deployment_id=1,
            name=f"d1-{ident:05d}",
            deployment_name="d1",
            cluster_id=1,
            spec=SPEC,
            spec_seq=2,
        ),
        WorkerDevicesReserved(worker_id=worker, instance_id=ident, claim=claim),
        InstanceScheduled(
            instance_id=ident,
            deployment_id=1,
            worker_id=worker,
            worker_name=f"w{worker}",
            claim=claim,
            decision=Decision(policy="spread/2", decided_at_seq=1),
        ),
        *started(ident, 0),
    ]


def started(ident: int, attempt: int) -> list[Event]:
    of = {"instance_id": ident, "deployment_id": 1, "worker_id": ident % WORKERS + 1, "attempt": attempt}
    return [
        InstanceStarting.model_validate({**of, "pid": 1, "command": ("server",)}),
        InstanceRunning.model_validate(
            {**of, "host": "127.0.0.1", "port": 1, "pid": 1, "backend_version": "1", "startup_s": 0.1}
        ),
    ]


def restarted(ident: int, attempt: int) -> list[Event]:
    of = {"instance_id": ident, "deployment_id": 1}
    failed = {**of, "worker_id": ident % WORKERS + 1, "attempt": attempt - 1}
    again = {
        **of,
        "attempt": attempt,
        "streak": 1,
        "delay_s": 0,
        "restart_at": datetime(2026, 1, 2, tzinfo=UTC),
    }
    return [
        InstanceFailed.model_validate({**failed, "cause": "crashed", "message": "it crashed"}),
        InstanceRestartScheduled.model_validate(again),
        *started(ident, attempt),
    ]
