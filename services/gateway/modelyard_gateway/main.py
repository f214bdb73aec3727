"""Joins the gateway's parts and runs them."""

import asyncio
import contextlib
import itertools
import secrets
import socket
import sys
import time
from collections.abc import Callable, Sequence

import structlog
import uvloop
from modelyard_eventlog.connection import connect
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_runtime.clock import now
from modelyard_runtime.listening import listen
from modelyard_runtime.logs import configure_logs
from modelyard_runtime.settings import BadSettings, parse_settings
from modelyard_runtime.shutdown import stop_signal
from nats.aio.client import Client

from modelyard_gateway.adapters.pool import UpstreamPool
from modelyard_gateway.domain.balance import Balancer
from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.table import RoutingTable
from modelyard_gateway.handlers.gate import Gate
from modelyard_gateway.handlers.plane import Plane
from modelyard_gateway.routes.front import Front
from modelyard_gateway.settings import GatewaySettings
from modelyard_gateway.subscribers.follow import follow

logger = structlog.stdlib.get_logger()

SWEEP_S = 0.1
BACKLOG = 4096
BAD_START = 2


class Gateway:
    """The gateway but for its sources: the event log feeds `table` and `readiness`.

    Made in a running loop."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.table = RoutingTable()
        self.readiness = Readiness()
        self.balancer = Balancer(self.table)
        limits = settings.limits()
        clock = asyncio.get_running_loop().time
        self._pool = UpstreamPool(clock, connect_timeout_s=limits.connect_s)
        self.plane = Plane(
            gate=Gate(self.table, self.readiness, now=now, retry_after_s=settings.retry_after_s),
            balancer=self.balancer,
            pool=self._pool,
            limits=limits,
            clock=clock,
            wall=time.time,
            on_finished=lambda record: None,
        )
        self.front = Front(self.plane, self.table, self.readiness, new_id=request_ids())
        self._grace_s = settings.shutdown_grace_s

    async def serve(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Until `stop` is set; then running exchanges get their grace."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.front.connection, sock=listener, backlog=BACKLOG)
        sweeping = asyncio.create_task(self._sweep())
        await stop.wait()
        server.close()
        self.front.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.front.drained.wait(), self._grace_s)
        for connection in tuple(self.front.connections):
            logger.warning("request cut by shutdown", request_id=connection.request_id.decode())
            connection.cut()
        sweeping.cancel()
        await asyncio.wait({sweeping})
        await self._pool.aclose()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.front.sweep()


def request_ids() -> Callable[[], bytes]:
    """Ids that no other process gives, as cheap as counting."""
    process = secrets.token_hex(8).encode()
    numbers = itertools.count(1)
    return lambda: b"%b-%x" % (process, next(numbers))


def main(argv: Sequence[str]) -> int:
    try:
        settings = parse_settings(GatewaySettings, argv, prog="modelyard gateway")
        listener = listen(settings.host, settings.port)
    except BadSettings as error:
        sys.stderr.write(f"modelyard gateway: {error}\n")
        return BAD_START
    configure_logs("gateway", level=settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings, listener))
    return 0


async def run(settings: GatewaySettings, listener: socket.socket) -> None:
    """Serves until SIGTERM or SIGINT, then lets running responses finish."""
    stop = stop_signal()
    gateway = Gateway(settings)
    feeding = asyncio.create_task(feed(settings, gateway))
    host, port = listener.getsockname()[:2]
    logger.info("gateway listens", host=host, port=port)
    await gateway.serve(listener, stop)
    logger.info("gateway stopped")
    feeding.cancel()
    await asyncio.wait({feeding})


async def feed(settings: GatewaySettings, gateway: Gateway) -> None:
    """Follows the log without end. What cannot be read stops the table, never the requests."""
    client: Client | None = None
    try:
        client = await connect(settings, name="modelyard-gateway")
        await follow(NatsEventLog(client), gateway.table, gateway.readiness)
    except Exception as error:
        gateway.readiness.halted = str(error) or type(error).__name__
        logger.critical("the routing table no longer changes", error=gateway.readiness.halted, exc_info=True)
    finally:
        if client is not None:
            await client.close()
