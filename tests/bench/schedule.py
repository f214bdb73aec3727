"""The scheduler as a process, through the log, with a thousand simulated agents."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import asyncpg
import psutil
from bench.control_plane import WORKERS, Plane, cpu_s, fill, plane
from bench.facts import MODEL_KNOWN, registered, wish
from bench.report import Figure
from modelyard_contracts.base import Event
from modelyard_contracts.events import InstanceRunning, InstanceScheduled
from modelyard_eventlog.log import Write
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.wire import encode_event
from modelyard_eventlog_cases import cause
from nats.aio.client import Client

REPLICAS = WORKERS
IDLE_S = 20.0


async def measure() -> list[Figure]:
    async with plane() as found:
        return [*await _thousand_at_once(found), *await _idle(found)]


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
    used_s = cpu_s(scheduler)
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
        Figure("... CPU of the scheduler", cpu_s(scheduler) - used_s, "s"),
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
    before = {name: cpu_s(process) for name, process in watched.items()}
    await asyncio.sleep(IDLE_S)
    used = {name: (cpu_s(process) - before[name]) / IDLE_S for name, process in watched.items()}
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
