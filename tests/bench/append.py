"""Append latency against bare nats-py: the same stream, the same server, alternating."""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import nats
from bench.report import Figure, quantile
from conftest import NatsServer
from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import NameClaimed
from modelyard_eventlog.log import Write
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_eventlog.wire import encode_event
from modelyard_eventlog_cases import cause, requested
from nats.aio.client import Client

ROUNDS = 7
PER_ROUND = 200


async def measure() -> list[Figure]:
    with TemporaryDirectory() as directory:
        server = NatsServer(Path(directory))
        server.start()
        await server.wait_until_ready()
        client = await nats.connect(server.url, pending_size=0)
        await provision(client)
        try:
            return await _alternate(NatsEventLog(client), client)
        finally:
            await client.close()
            server.kill()


async def _alternate(log: NatsEventLog, client: Client) -> list[Figure]:
    js = client.jetstream()
    bare: list[float] = []
    single: list[float] = []
    batch: list[float] = []
    ident = 0
    for _ in range(ROUNDS):
        for _ in range(PER_ROUND):
            ident += 1
            headers, body = encode_event(requested(ident), cause(f"bare{ident}"), 0)
            headers.pop("Nats-Msg-Id")
            started = time.perf_counter()
            await js.publish(f"evt.deployment.{ident}", body, headers=headers)
            bare.append(time.perf_counter() - started)
        for _ in range(PER_ROUND):
            ident += 1
            started = time.perf_counter()
            await log.append([Write(requested(ident), 0)], cause(f"c{ident}"))
            single.append(time.perf_counter() - started)
        for _ in range(PER_ROUND // 4):
            ident += 1
            claim = NameClaimed(kind=Aggregate.DEPLOYMENT, name=f"n{ident}", claimed_by=ident)
            started = time.perf_counter()
            await log.append([Write(claim, 0), Write(requested(ident), 0)], cause(f"c{ident}"))
            batch.append(time.perf_counter() - started)
    base = median(bare)
    return [
        Figure("bare nats-py publish, p50", base * 1000, "ms", 1.0),
        Figure("append of one event, p50", median(single) * 1000, "ms", median(single) / base, "<= 1.3x"),
        Figure(
            "append of one event, p99", quantile(single, 0.99) * 1000, "ms", quantile(single, 0.99) / base
        ),
        Figure("atomic batch of two, p50", median(batch) * 1000, "ms", median(batch) / base),
    ]
