"""The event log in memory, for tests of handlers: the same contract as the real one, checked by one suite."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from modelyard_contracts.base import Aggregate
from modelyard_contracts.envelope import Cause

from modelyard_eventlog import subjects
from modelyard_eventlog.log import AnyRecorded, Appended, Conflict, LogPosition, Write
from modelyard_eventlog.wire import decode_event, encode_event


class InMemoryEventLog:
    def __init__(self) -> None:
        self._events: list[AnyRecorded] = []
        self._by_subject: dict[str, list[int]] = defaultdict(list)
        self._seq_of_id: dict[str, int] = {}
        self._created = datetime.now(UTC)
        self._grew = asyncio.Condition()

    async def append(self, writes: Sequence[Write], cause: Cause) -> Appended:
        known = self._seq_of_id.get(cause.event_id(len(writes) - 1))
        if known is not None:
            return Appended(seq=known, repeated=True)
        for write in writes:
            last = (self._by_subject[write.subject()] or [0])[-1]
            if write.expected_seq is not None and write.expected_seq != last:
                raise Conflict(write.subject(), write.expected_seq)
        for position, write in enumerate(writes):
            self._keep(write, cause, position)
        async with self._grew:
            self._grew.notify_all()
        return Appended(seq=len(self._events))

    def _keep(self, write: Write, cause: Cause, position: int) -> None:
        seq = len(self._events) + 1
        headers, body = encode_event(write.event, cause, position, story=write.story)
        subject = subjects.event(write.event.aggregate, write.event.aggregate_id())
        self._events.append(decode_event(seq, subject, headers, body))
        self._by_subject[write.subject()].append(seq)
        self._seq_of_id[headers["ce-id"]] = seq

    async def load(self, aggregate: Aggregate, ident: str, *, after: int = 0) -> list[AnyRecorded]:
        return [self._events[seq - 1] for seq in self._by_subject[f"{aggregate}/{ident}"] if seq > after]

    async def get(self, seq: int) -> AnyRecorded | None:
        return self._events[seq - 1] if 0 < seq <= len(self._events) else None

    async def position(self) -> LogPosition:
        return LogPosition(created=self._created, last_seq=len(self._events))

    async def follow(self, after: int, *, batch: int = 500) -> AsyncIterator[list[AnyRecorded]]:
        position = after
        while True:
            async with self._grew:
                while len(self._events) <= position:
                    await self._grew.wait()
            found = self._events[position : position + batch]
            position += len(found)
            yield found
