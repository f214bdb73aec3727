"""Reactions to what happens on the streams: FastStream, with the settings that make it safe.

Its defaults are not: the default acknowledgement drops a message for ever when a handler raises, and a
stream named by a plain string gets its configuration rewritten. Here a stream is never declared, one
message is under way at a time (so order is kept), a handler that raises gets the message again after a
back-off, and a message that fails for good goes to the dead letters while the next ones go on.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import nats.errors
import structlog
from faststream import AckPolicy, BaseMiddleware
from faststream.exceptions import NackMessage
from faststream.message import StreamMessage
from faststream.nats import JStream, NatsBroker, NatsCredentials, NatsSecurity, PullSub
from faststream.nats.annotations import NatsMessage
from modelyard_runtime.settings import NatsSettings
from modelyard_runtime.trust import trusting
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from modelyard_eventlog import subjects
from modelyard_eventlog.connection import connect, connect_options
from modelyard_eventlog.heartbeats import OnHeartbeat, follow_heartbeats
from modelyard_eventlog.provision import provision

logger = structlog.stdlib.get_logger()

MAX_DELIVER = 12
ACK_WAIT_S = 5.0
STALLED_S = 60.0
WATCH_S = 3.0
CONSUMER_NOT_FOUND = 10014


def backoff_s(delivered: int) -> float:
    """How long to wait after the `delivered`-th try failed: 0.2 s doubling to 10 s."""
    return float(min(0.2 * 2 ** (delivered - 1), 10.0))


class RetryWithBackoff(BaseMiddleware[Any, Any]):
    """Turns what a handler raises into a delayed redelivery."""

    async def consume_scope(
        self, call_next: Callable[[StreamMessage[Msg]], Awaitable[Any]], msg: StreamMessage[Msg]
    ) -> Any:
        try:
            return await call_next(msg)
        except Exception as error:
            delivered = msg.raw_message.metadata.num_delivered or 1
            logger.warning(
                "reaction failed, will be tried again",
                subject=msg.raw_message.subject,
                delivered=delivered,
                error=str(error) or type(error).__name__,
                exc_info=delivered == MAX_DELIVER,
            )
            raise NackMessage(delay=backoff_s(delivered)) from error


@dataclass(slots=True)
class _Consumer:
    stream: str
    durable: str
    subscriber: Any
    position: int = -1
    since: float = 0.0
    healthy: bool = True


class Reactions:
    """The subscriptions of one service: timers by the durable consumer `<name>-timers`, and heartbeats."""

    def __init__(self, settings: NatsSettings, *, name: str) -> None:
        self._name = name
        options = connect_options(settings, name=f"{name}-reactions")
        options.pop("servers")
        self.broker = NatsBroker(
            settings.nats.split(","),
            middlewares=(RetryWithBackoff,),
            logger=None,
            security=_security(settings),
            **options,
        )
        self._settings = settings
        self._consumers: list[_Consumer] = []
        self._on_heartbeat: OnHeartbeat | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._nc: Client | None = None

    def on_timers(self, handler: Callable[[str], Awaitable[None]]) -> None:
        async def consume(message: NatsMessage) -> None:
            raw: Msg = message.raw_message
            await handler(raw.subject.removeprefix(subjects.timer_fired("")))

        self._subscribe(subjects.TIMERS, subjects.ALL_FIRED_TIMERS, "timers", consume)

    def on_heartbeats(self, handler: OnHeartbeat) -> None:
        """Presence is the latest state, not a queue of work: it is read without a durable consumer."""
        self._on_heartbeat = handler

    def _subscribe(
        self, stream: str, subject: str, kind: str, consume: Callable[[NatsMessage], Awaitable[None]]
    ) -> None:
        durable = f"{self._name}-{kind}"
        subscriber = self.broker.subscriber(
            subject,
            stream=JStream(stream, declare=False),
            durable=durable,
            pull_sub=PullSub(batch_size=1, timeout=5.0),
            ack_policy=AckPolicy.NACK_ON_ERROR,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.ALL,
                max_ack_pending=1,
                ack_wait=ACK_WAIT_S,
                max_deliver=MAX_DELIVER,
            ),
            title=f"{kind} of {self._name}",
        )
        subscriber(consume)
        self._consumers.append(_Consumer(stream, durable, subscriber))

    async def start(self) -> None:
        """Waits for NATS, provisions the streams and takes up the work."""
        self._nc = await connect(self._settings, name=f"{self._name}-watch")
        await provision(self._nc)
        await self.broker.start()
        self._tasks.append(asyncio.create_task(self._watch(self._nc)))
        if self._on_heartbeat is not None:
            self._tasks.append(asyncio.create_task(follow_heartbeats(self._nc, self._on_heartbeat)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.broker.stop()
        if self._nc is not None:
            await self._nc.close()

    def healthy(self) -> bool:
        """False while a consumer is gone, or has work and makes no progress, or a task has ended."""
        if any(task.done() for task in self._tasks):
            return False
        return all(consumer.healthy for consumer in self._consumers)

    async def _watch(self, nc: Client) -> None:
        """A consumer deleted on the server leaves its reader waiting for ever, in silence: look at the
        consumers themselves."""
        while True:
            for consumer in self._consumers:
                try:
                    await self._look_at(nc, consumer)
                except (nats.errors.Error, TimeoutError, OSError) as error:
                    logger.debug("watchdog", consumer=consumer.durable, error=str(error))
            await asyncio.sleep(WATCH_S)

    async def _look_at(self, nc: Client, consumer: _Consumer) -> None:
        reply = await nc.request(
            f"$JS.API.CONSUMER.INFO.{consumer.stream}.{consumer.durable}", b"", timeout=2
        )
        info = json.loads(reply.data)
        if info.get("error", {}).get("err_code") == CONSUMER_NOT_FOUND:
            consumer.healthy = False
            logger.error("a consumer is gone, making it anew", consumer=consumer.durable)
            await consumer.subscriber.stop()
            await consumer.subscriber.start()
            return
        if "error" in info:
            return
        now = asyncio.get_running_loop().time()
        position = info["ack_floor"]["consumer_seq"]
        if position != consumer.position or info["num_pending"] + info["num_ack_pending"] == 0:
            consumer.position, consumer.since = position, now
        consumer.healthy = now - consumer.since < STALLED_S


def _security(settings: NatsSettings) -> NatsSecurity:
    """Raises `BadSettings`."""
    trusted = trusting(settings.ca)
    if settings.nats_credentials is None:
        return NatsSecurity(ssl_context=trusted)
    return NatsCredentials(str(settings.nats_credentials), ssl_context=trusted)
