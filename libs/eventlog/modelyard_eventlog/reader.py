"""A pull reader that never skips and never repeats.

It makes an ephemeral consumer, asks for messages ahead of need, checks the consumer's own sequence for
holes, and makes a new consumer from the last position whenever something is off. nats-py's ordered
consumer is not used: it has been seen to start over from 1, and to drop messages, after a reconnect.
"""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from modelyard_eventlog.log import LogUnavailable

logger = structlog.stdlib.get_logger()

EXPIRES_S = 30.0
HEARTBEAT_S = 2.0
RETRY_S = 0.1
LOOK_S = 1.0
"""Between looks whether the server has been away."""
AHEAD = 1000
"""How many messages a pull asks for; the next pull goes out when half of them have come."""


class Gap(Exception):
    """The stream lost messages: the log is damaged and must be restored from the archive."""


class _Restart(Exception):
    """The consumer is of no use any more; a new one goes on from the last position."""


class _Arrived:
    """Messages as they come in: a callback and a queue cost a third of awaiting each one by itself."""

    def __init__(self) -> None:
        self._messages: deque[Msg] = deque()
        self._some = asyncio.Event()

    async def add(self, message: Msg) -> None:
        self._messages.append(message)
        self._some.set()

    async def take(self, limit: int, *, timeout_s: float) -> list[Msg]:
        """Up to `limit` of them; none if none comes in time."""
        if not self._messages:
            self._some.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._some.wait()
            except TimeoutError:
                return []
        count = min(limit, len(self._messages))
        return [self._messages.popleft() for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a delivered message is: in its stream and in its consumer; `pending` are still to come."""

    stream_seq: int
    consumer_seq: int
    pending: int


def place_of(reply: str) -> Place:
    """Reads `$JS.ACK.[domain.account.]stream.consumer.delivered.sseq.cseq.time.pending[.token]`."""
    parts = reply.split(".")
    at = 5 if len(parts) == 9 else 7
    return Place(stream_seq=int(parts[at]), consumer_seq=int(parts[at + 1]), pending=int(parts[at + 3]))


class PullReader:
    """Reads `stream` beyond `after`. With `contiguous`, a hole in the stream's own sequence is a `Gap`.

    With `last_per_subject`, the first pass gives the latest message of each subject only, and a new
    consumer starts with that again: what is read must be safe to see twice. `on_restart` runs before a
    new consumer is made: a stream in memory is gone after a restart of the server.
    """

    def __init__(
        self,
        nc: Client,
        stream: str,
        *,
        after: int = 0,
        subject: str | None = None,
        contiguous: bool = False,
        last_per_subject: bool = False,
        on_restart: Callable[[Client], Awaitable[None]] | None = None,
    ) -> None:
        self._nc = nc
        self._stream = stream
        self._subject = subject
        self._position = after
        self._contiguous = contiguous
        self._last_per_subject = last_per_subject
        self._on_restart = on_restart

    async def batches(self, limit: int) -> AsyncGenerator[list[tuple[int, Msg]], None]:
        """What is there, at least one message and up to `limit`, with stream sequences; without end."""
        while True:
            try:
                async for batch in self._one_consumer(limit):
                    yield batch
            except (_Restart, nats.errors.Error, TimeoutError, OSError) as error:
                logger.debug("reader starts a new consumer", stream=self._stream, error=str(error))
            await asyncio.sleep(RETRY_S)
            await self._prepare()

    async def _prepare(self) -> None:
        if self._on_restart is None:
            return
        try:
            await self._on_restart(self._nc)
        except LogUnavailable as error:
            logger.debug("reader waits", stream=self._stream, error=str(error))

    async def _one_consumer(self, limit: int) -> AsyncIterator[list[tuple[int, Msg]]]:
        inbox = self._nc.new_inbox()
        connection = self._nc.stats["reconnects"]
        arrived = _Arrived()
        subscription = await self._nc.subscribe(inbox, cb=arrived.add)
        try:
            consumer = await self._create()
            wanted, consumer_seq = 0, 0
            while True:
                if wanted <= AHEAD // 2:
                    await self._pull(consumer, AHEAD - wanted, inbox)
                    wanted = AHEAD
                batch: list[tuple[int, Msg]] = []
                for message in await self._take(arrived, limit, connection):
                    if message.headers and "Status" in message.headers:
                        wanted = self._after_status(message, wanted)
                    elif message.reply:
                        place = place_of(message.reply)
                        consumer_seq = self._check(place, consumer_seq)
                        wanted -= 1
                        batch.append((place.stream_seq, message))
                if batch:
                    yield batch
        finally:
            if not self._nc.is_closed:
                await subscription.unsubscribe()

    async def _take(self, arrived: "_Arrived", limit: int, connection: int) -> list[Msg]:
        """What has come, at least one message, heartbeats included. Raises `_Restart` when the server has
        been away."""
        for _ in range(int(HEARTBEAT_S * 2.5 / LOOK_S)):
            messages = await arrived.take(limit, timeout_s=LOOK_S)
            if messages:
                return messages
            if self._nc.stats["reconnects"] != connection:
                raise _Restart("reconnected")
        raise _Restart("no heartbeat")

    def _check(self, place: Place, consumer_seq: int) -> int:
        if place.consumer_seq != consumer_seq + 1:
            raise _Restart(f"consumer sequence {place.consumer_seq} after {consumer_seq}")
        if self._contiguous and place.stream_seq != self._position + 1:
            raise Gap(f"{self._stream} has {place.stream_seq} after {self._position}: events are missing")
        self._position = max(self._position, place.stream_seq)
        return place.consumer_seq

    @staticmethod
    def _after_status(message: Msg, wanted: int) -> int:
        """How many messages the server still owes after this status message. Raises `_Restart`."""
        headers = message.headers or {}
        status = headers["Status"]
        if status == "100":
            return wanted
        if status in ("404", "408"):
            return max(0, wanted - int(headers.get("Nats-Pending-Messages", wanted)))
        raise _Restart(f"status {status} {headers.get('Description', '')}")

    async def _create(self) -> str:
        name = f"reader-{secrets.token_hex(8)}"
        config: dict[str, Any] = {
            "name": name,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._position + 1,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 60 * 1_000_000_000,
        }
        if self._last_per_subject:
            config["deliver_policy"] = "last_per_subject"
            del config["opt_start_seq"]
        subject = f"$JS.API.CONSUMER.CREATE.{self._stream}.{name}"
        if self._subject:
            config["filter_subject"] = self._subject
            subject = f"{subject}.{self._subject}"
        request = {"stream_name": self._stream, "config": config, "action": "create"}
        reply = await self._nc.request(subject, json.dumps(request).encode(), timeout=5)
        answer = json.loads(reply.data)
        if "error" in answer:
            raise _Restart(answer["error"].get("description", "consumer refused"))
        return name

    async def _pull(self, consumer: str, batch: int, inbox: str) -> None:
        request = {
            "batch": batch,
            "expires": int(EXPIRES_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        }
        await self._nc.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}", json.dumps(request).encode(), reply=inbox
        )
