"""The event log on NATS JetStream."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import nats.errors
from modelyard_contracts.base import Aggregate
from modelyard_contracts.envelope import Cause
from nats.aio.client import Client
from nats.aio.msg import Msg

from modelyard_eventlog import subjects
from modelyard_eventlog.log import AnyRecorded, Appended, Conflict, LogPosition, LogUnavailable, Write
from modelyard_eventlog.reader import PullReader
from modelyard_eventlog.wire import decode_event, encode_event

WRONG_LAST_SEQUENCE = (10071, 10164)
DUPLICATE_IN_BATCH = 10201
TRANSIENT = (nats.errors.Error, TimeoutError, OSError)
LOAD_BATCH = 500
TRY_S = 1.0
"""For how long one try waits: an answer takes a millisecond, or is lost with the connection."""


class NatsEventLog:
    """Appends with optimistic concurrency; loads with batched direct gets; follows with a `PullReader`.

    `timeout_s` bounds one call, retries included.
    """

    def __init__(self, nc: Client, *, timeout_s: float = 5.0) -> None:
        self._nc = nc
        self._timeout_s = timeout_s

    async def append(self, writes: Sequence[Write], cause: Cause) -> Appended:
        """See `EventLog.append`. A time-out is settled by looking for our own ids in the log."""
        messages = [
            (write, *encode_event(write.event, cause, position, story=write.story))
            for position, write in enumerate(writes)
        ]
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        unsure = False
        pause_s = 0.05
        while True:
            try:
                if unsure:
                    kept = await self._find(writes, cause)
                    if kept is not None:
                        return kept
                return await self._publish(messages, writes, cause)
            except TRANSIENT as error:
                unsure = True
                if asyncio.get_running_loop().time() + pause_s > deadline:
                    raise LogUnavailable(
                        "the event log does not answer; whether the change was kept is not known"
                    ) from error
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.5)

    async def _publish(
        self, messages: list[tuple[Write, dict[str, str], bytes]], writes: Sequence[Write], cause: Cause
    ) -> Appended:
        batch_id = secrets.token_hex(16)
        for number, (write, attributes, body) in enumerate(messages, start=1):
            headers = {**attributes, "Nats-Expected-Stream": subjects.EVT}
            if write.expected_seq is not None:
                headers["Nats-Expected-Last-Subject-Sequence"] = str(write.expected_seq)
            if len(messages) > 1:
                headers |= {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}
            subject = subjects.event(write.event.aggregate, write.event.aggregate_id())
            if number < len(messages):
                await self._nc.publish(subject, body, headers=headers)
                continue
            if len(messages) > 1:
                headers["Nats-Batch-Commit"] = "1"
            reply = await self._nc.request(
                subject, body, timeout=min(TRY_S, self._timeout_s), headers=headers
            )
        ack: dict[str, Any] = json.loads(reply.data)
        if "error" in ack:
            return await self._after_refusal(ack["error"], writes, cause)
        return Appended(seq=ack["seq"], repeated=ack.get("duplicate", False))

    async def _after_refusal(self, error: dict[str, Any], writes: Sequence[Write], cause: Cause) -> Appended:
        """A retry of what was kept is refused as a conflict too: only the log itself tells them apart."""
        if error.get("err_code") not in (*WRONG_LAST_SEQUENCE, DUPLICATE_IN_BATCH):
            raise LogUnavailable(f"the event log refused: {error.get('description', error)}")
        kept = await self._find(writes, cause)
        if kept is not None:
            return kept
        raise await self._conflict(writes)

    async def _conflict(self, writes: Sequence[Write]) -> Conflict:
        for write in writes:
            if write.expected_seq is None:
                continue
            event = write.event
            if await self.load(event.aggregate, event.aggregate_id(), after=write.expected_seq):
                return Conflict(write.subject(), write.expected_seq)
        return Conflict(writes[0].subject(), writes[0].expected_seq or 0)

    async def _find(self, writes: Sequence[Write], cause: Cause) -> Appended | None:
        """Where this command's last event is, if it was kept."""
        last = writes[-1]
        tail = await self.load(
            last.event.aggregate,
            last.event.aggregate_id(),
            after=0 if last.expected_seq is None else last.expected_seq,
        )
        event_id = cause.event_id(len(writes) - 1)
        return next((Appended(seq=event.seq, repeated=True) for event in tail if event.id == event_id), None)

    async def load(self, aggregate: Aggregate, ident: str, *, after: int = 0) -> list[AnyRecorded]:
        subject = subjects.event(aggregate, ident)
        found: list[AnyRecorded] = []
        try:
            while True:
                request = {"seq": after + 1, "next_by_subj": subject, "batch": LOAD_BATCH}
                messages, more = await self._direct_get(request)
                found.extend(messages)
                if not more or not messages:
                    return found
                after = messages[-1].seq
        except TRANSIENT as error:
            raise LogUnavailable("the event log does not answer") from error

    async def get(self, seq: int) -> AnyRecorded | None:
        try:
            messages, _ = await self._direct_get({"seq": seq})
        except TRANSIENT as error:
            raise LogUnavailable("the event log does not answer") from error
        return messages[0] if messages and messages[0].seq == seq else None

    async def _direct_get(self, request: dict[str, Any]) -> tuple[list[AnyRecorded], bool]:
        """The messages of one direct get, and whether more match beyond them."""
        inbox = self._nc.new_inbox()
        subscription = await self._nc.subscribe(inbox)
        found: list[AnyRecorded] = []
        try:
            await self._nc.publish(
                f"$JS.API.DIRECT.GET.{subjects.EVT}", json.dumps(request).encode(), reply=inbox
            )
            while True:
                message = await subscription.next_msg(timeout=min(TRY_S, self._timeout_s))
                status = (message.headers or {}).get("Status")
                if status == "404":
                    return found, False
                if status == "204":
                    return found, int((message.headers or {}).get("Nats-Num-Pending", "0")) > 0
                if status is not None:
                    raise nats.errors.Error(f"direct get: status {status}")
                found.append(_recorded(message))
                if "batch" not in request:
                    return found, False
        finally:
            if not self._nc.is_closed:
                await subscription.unsubscribe()

    async def position(self) -> LogPosition:
        try:
            reply = await self._nc.request(
                f"$JS.API.STREAM.INFO.{subjects.EVT}", b"", timeout=self._timeout_s
            )
        except TRANSIENT as error:
            raise LogUnavailable("the event log does not answer") from error
        answer = json.loads(reply.data)
        if "error" in answer:
            raise LogUnavailable(f"the event log is not there: {answer['error'].get('description')}")
        return LogPosition(
            created=datetime.fromisoformat(answer["created"][:26].rstrip("Z")).replace(tzinfo=UTC),
            last_seq=answer["state"]["last_seq"],
        )

    async def follow(self, after: int, *, batch: int = 500) -> AsyncIterator[list[AnyRecorded]]:
        reader = PullReader(self._nc, subjects.EVT, after=after, contiguous=True)
        async for messages in reader.batches(batch):
            yield [
                decode_event(seq, message.subject, message.headers or {}, message.data)
                for seq, message in messages
            ]


def _recorded(message: Msg) -> AnyRecorded:
    headers = message.headers or {}
    return decode_event(int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers, message.data)
