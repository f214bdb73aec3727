"""Joins the gateway's parts and runs them."""

import asyncio
import contextlib
import gc
import itertools
import secrets
import socket
import sys
import time
from collections.abc import Callable, Sequence

import structlog
import uvloop
from modelyard_eventlog.connection import connect
from modelyard_eventlog.gateways import Gateways
from modelyard_eventlog.log import EventLog
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.quotas import QuotaStream
from modelyard_eventlog.usage import UsageStream
from modelyard_runtime.clock import now
from modelyard_runtime.listening import listen
from modelyard_runtime.logs import configure_logs
from modelyard_runtime.secrets import Sealer, Unsealable
from modelyard_runtime.settings import BadSettings, parse_settings
from modelyard_runtime.shutdown import stop_signal
from modelyard_runtime.trust import trusting
from nats.aio.client import Client

from modelyard_gateway.adapters.outbox import Outbox
from modelyard_gateway.adapters.pool import UpstreamPool
from modelyard_gateway.adapters.processes import run_processes
from modelyard_gateway.adapters.snapshot_file import read_snapshot, write_snapshot
from modelyard_gateway.domain.balance import Balancer
from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.snapshot import restore, snapshot_of
from modelyard_gateway.domain.table import RoutingTable
from modelyard_gateway.handlers.gate import Gate
from modelyard_gateway.handlers.ledger import Ledger
from modelyard_gateway.handlers.lookup import Lookup
from modelyard_gateway.handlers.meter import Meter
from modelyard_gateway.handlers.plane import Plane
from modelyard_gateway.handlers.quota_sharing import share
from modelyard_gateway.handlers.quotas import Quotas
from modelyard_gateway.handlers.waiting import Waiting
from modelyard_gateway.routes.front import Front
from modelyard_gateway.settings import GatewaySettings
from modelyard_gateway.subscribers.follow import follow

logger = structlog.stdlib.get_logger()

SWEEP_S = 0.1
SNAPSHOT_EVERY_S = 1.0
SNAPSHOT_PATIENCE_S = 3.0
"""For how long the event log is waited for before the snapshot is taken for good."""
BACKLOG = 4096
BAD_START = 2
CANCEL_AGAIN_S = 0.5


class Gateway:
    """The gateway but for its sources: the event log feeds `table` and `readiness`.

    Made in a running loop. Begins with the snapshot if there is one.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._snapshot = settings.snapshot
        kept = read_snapshot(settings.snapshot) if settings.snapshot is not None else None
        self.table = RoutingTable() if kept is None else restore(kept)
        self.readiness = Readiness(log_created=None if kept is None else kept.log_created)
        self.balancer = Balancer(
            self.table,
            opener(settings.secret_key),
            most_in_flight=settings.max_in_flight,
            slow_start_s=settings.slow_start_s,
        )
        limits = settings.limits()
        ledger = Ledger()
        self.lookup = Lookup(ledger)
        process = secrets.token_hex(8)
        self.quotas = Quotas(self.table, process, time.time)
        self.meter = Meter(settings.usage_spool, process, ledger)
        loop = asyncio.get_running_loop()
        self._pool = UpstreamPool(loop.time, trusting(settings.ca))
        self.plane = Plane(
            gate=Gate(self.table, self.readiness, now=now, retry_after_s=settings.retry_after_s),
            balancer=self.balancer,
            waiting=Waiting(self.balancer, most=settings.queue_size),
            pool=self._pool,
            outbox=Outbox(loop.call_soon),
            limits=limits,
            clock=loop.time,
            wall=time.time,
            quotas=self.quotas,
            on_sent=self.meter.sent,
            on_finished=self.meter.finished,
        )
        self.front = Front(self.plane, self.table, self.readiness, self.lookup, new_id=request_ids(process))
        self._grace_s = settings.shutdown_grace_s

    async def serve(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Until `stop` is set; then running exchanges get their grace."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.front.connection, sock=listener, backlog=BACKLOG)
        chores = [asyncio.create_task(self._sweep()), asyncio.create_task(self._keep_snapshot())]
        if self.table.seq:
            loop.call_later(SNAPSHOT_PATIENCE_S, self._trust_snapshot)
        await stop.wait()
        server.close()
        self.front.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.front.drained.wait(), self._grace_s)
        for connection in tuple(self.front.connections):
            logger.warning("request cut by shutdown", request_id=connection.request_id.decode())
            connection.cut()
        for chore in chores:
            chore.cancel()
        await asyncio.wait(chores)
        await self._pool.aclose()
        await self.meter.close()

    def _trust_snapshot(self) -> None:
        if not self.readiness.caught_up and self.table.seq:
            self.readiness.from_snapshot = self.readiness.caught_up = True
            logger.warning("the event log is away: serving from the snapshot", seq=self.table.seq)

    async def _keep_snapshot(self) -> None:
        """Every few seconds, if the table has changed."""
        kept = self.table.seq
        while self._snapshot is not None:
            await asyncio.sleep(SNAPSHOT_EVERY_S)
            created, seq = self.readiness.log_created, self.table.seq
            if created is None or seq == kept or not self.readiness.caught_up:
                continue
            try:
                await asyncio.to_thread(write_snapshot, self._snapshot, snapshot_of(self.table, created))
            except OSError as error:
                logger.warning("the snapshot cannot be written", path=str(self._snapshot), error=str(error))
            kept = seq

    async def _sweep(self) -> None:
        settled = False
        while True:
            await asyncio.sleep(SWEEP_S)
            self.front.sweep()
            if not settled and self.readiness.caught_up:
                settled = True
                gc.freeze()  # what was made so far stays, the table too: no collection has to look at it


def opener(secret_key: str | None) -> Callable[[str], str]:
    """Opens what is sealed; what does not open becomes nothing, which every relay and provider refuses."""

    def unseal(sealed: str) -> str:
        if sealer is None:
            logger.error(
                "the secret of a relay or a provider is sealed: set --secret-key (MODELYARD_SECRET_KEY)"
            )
            return ""
        try:
            return sealer.unseal(sealed)
        except Unsealable as error:
            logger.error("the secret of a relay or a provider does not open", error=str(error))
            return ""

    sealer = None if secret_key is None else Sealer(secret_key)
    return unseal


def request_ids(process: str) -> Callable[[], bytes]:
    """Ids that no other process gives, as cheap as counting."""
    mine, numbers = process.encode(), itertools.count(1)
    return lambda: b"%b-%x" % (mine, next(numbers))


def main(argv: Sequence[str]) -> int:
    try:
        settings = parse_settings(GatewaySettings, argv, prog="modelyard gateway")
        several = settings.workers > 1
        listener = listen(settings.host, settings.port, shared=several)
    except BadSettings as error:
        sys.stderr.write(f"modelyard gateway: {error}\n")
        return BAD_START
    configure_logs("gateway", level=settings.log_level)
    if not several:
        serve(settings, listener)
        return 0
    host, port = listener.getsockname()[:2]
    listener.close()
    run_processes(settings.workers, lambda: serve(settings, listen(host, port, shared=True)))
    return 0


def serve(settings: GatewaySettings, listener: socket.socket) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, listener))


async def run(settings: GatewaySettings, listener: socket.socket) -> None:
    """Serves until SIGTERM or SIGINT, then lets running responses finish."""
    stop = stop_signal()
    gateway = Gateway(settings)
    feeding = asyncio.create_task(feed(settings, gateway))
    host, port = listener.getsockname()[:2]
    logger.info("gateway listens", host=host, port=port)
    await gateway.serve(listener, stop)
    logger.info("gateway stopped")
    while not feeding.done():  # `asyncio.wait_for` of Python 3.11 may swallow a cancellation
        feeding.cancel()
        await asyncio.wait({feeding}, timeout=CANCEL_AGAIN_S)


async def feed(settings: GatewaySettings, gateway: Gateway) -> None:
    """Follows the log and delivers usage, without end."""
    client: Client | None = None
    try:
        client = await connect(settings, name="modelyard-gateway")
        others = Gateways(client)
        await others.answer(gateway.lookup.own)
        gateway.lookup.others = others
        await asyncio.gather(
            feed_table(NatsEventLog(client), gateway),
            gateway.meter.deliver(UsageStream(client)),
            share(gateway.quotas, QuotaStream(client)),
        )
    finally:
        if client is not None:
            await client.close()


async def feed_table(log: EventLog, gateway: Gateway) -> None:
    """What cannot be read stops the table, never the requests."""
    try:
        await follow(log, gateway.table, gateway.readiness, gateway.readiness.log_created)
    except Exception as error:
        gateway.readiness.halted = str(error) or type(error).__name__
        logger.critical("the routing table no longer changes", error=gateway.readiness.halted, exc_info=True)
