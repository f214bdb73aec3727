"""Joins the gateway's parts and runs them."""

import asyncio
import contextlib
import logging
import socket
import sys
import time
from collections.abc import Iterator, Sequence

import structlog
import uvicorn
import uvloop
from modelyard_eventlog.connection import connect
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_runtime.clock import new_id, now
from modelyard_runtime.listening import listen
from modelyard_runtime.logs import configure_logs
from modelyard_runtime.settings import BadSettings, parse_settings
from modelyard_runtime.shutdown import stop_signal
from nats.aio.client import Client
from starlette.types import ASGIApp

from modelyard_gateway.adapters.http_upstream import HttpUpstream
from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.table import RoutingTable
from modelyard_gateway.handlers.dispatch import Dispatcher
from modelyard_gateway.handlers.gate import Gate
from modelyard_gateway.routes.app import build_app
from modelyard_gateway.settings import GatewaySettings
from modelyard_gateway.subscribers.follow import follow

logger = structlog.stdlib.get_logger()

KEEPALIVE_S = 75
BAD_START = 2


class Gateway:
    """The gateway but for its sources: the event log feeds `table` and `readiness`."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.table = RoutingTable()
        self.readiness = Readiness()
        self._upstream = HttpUpstream(
            connect_timeout_s=settings.connect_timeout_s, idle_timeout_s=settings.idle_timeout_s
        )
        self.dispatcher = Dispatcher(
            self.table,
            self._upstream,
            clock=time.monotonic,
            skip_failed_s=settings.skip_failed_s,
            retry_after_s=settings.retry_after_s,
        )
        gate = Gate(self.table, self.readiness, now=now, retry_after_s=settings.retry_after_s)
        self.app: ASGIApp = build_app(
            self.table,
            self.readiness,
            gate,
            self.dispatcher,
            max_body_bytes=settings.max_body_bytes,
            new_id=new_id,
        )

    async def aclose(self) -> None:
        await self._upstream.aclose()


class Server(uvicorn.Server):
    """Leaves signals to the composition root."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            ws="none",
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEPALIVE_S,
            timeout_graceful_shutdown=settings.shutdown_grace_s,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
    server = Server(gateway.app, settings)
    feeding = asyncio.create_task(feed(settings, gateway))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    host, port = listener.getsockname()[:2]
    logger.info("gateway listens", host=host, port=port)
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    logger.info("gateway stops", in_flight=gateway.dispatcher.in_flight())
    server.should_exit = True
    await serving
    for task in (feeding, stopping):
        task.cancel()
    await asyncio.wait({feeding, stopping})
    await gateway.aclose()


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
