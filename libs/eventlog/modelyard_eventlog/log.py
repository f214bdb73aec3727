"""The event log as the services see it. `NatsEventLog` and `InMemoryEventLog` keep the same contract."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.envelope import Cause, Recorded

AnyRecorded = Recorded[Any]


class Conflict(Exception):
    """The aggregate has moved on since it was read: load it again and decide again."""

    def __init__(self, subject: str, expected_seq: int) -> None:
        super().__init__(f"{subject} is no longer at sequence {expected_seq}")
        self.subject = subject
        self.expected_seq = expected_seq


class LogUnavailable(Exception):
    """The log did not answer in time. Whether the events were kept is not known; asking again with the
    same command id is safe and settles it."""


@dataclass(frozen=True, slots=True)
class Write:
    """One event to append. `expected_seq` is the last sequence of its aggregate that the decision was
    made on: 0 if there must be none yet, None not to check."""

    event: Event
    expected_seq: int | None
    story: Cause | None = None
    """Who wants this one and why, where a batch belongs to several stories; its id still follows from the
    command's."""

    def subject(self) -> str:
        return f"{self.event.aggregate}/{self.event.aggregate_id()}"


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a command's events are. `repeated` is true if they had been kept by an earlier try."""

    seq: int
    """Of the last event."""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class LogPosition:
    created: datetime
    last_seq: int


class EventLog(Protocol):
    async def append(self, writes: Sequence[Write], cause: Cause) -> Appended:
        """Keep all events or none, in order; at most one per aggregate with an expectation.

        When this returns, the events are on disk. The ids are `cause.event_id(0..n-1)`: appending the
        same command again changes nothing and answers with the place of the first.
        Raises `Conflict`, `LogUnavailable`.
        """
        ...

    async def load(self, aggregate: Aggregate, ident: str, *, after: int = 0) -> list[AnyRecorded]:
        """Every event of one aggregate beyond `after`, oldest first. Raises `LogUnavailable`."""
        ...

    async def get(self, seq: int) -> AnyRecorded | None:
        """The event at `seq`, or None beyond the end."""
        ...

    async def position(self) -> LogPosition: ...

    def follow(self, after: int, *, batch: int = 500) -> AsyncIterator[list[AnyRecorded]]:
        """Every event beyond `after`, in order, without end, in batches of what is there (at least one).

        Survives the loss of the connection and of the server; never skips and never repeats.
        """
        ...
