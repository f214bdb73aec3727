"""The archive: every event once more, in Postgres. Answers questions about the past, and is where the
log is restored from."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from modelyard_contracts.base import Event
from modelyard_contracts.envelope import Recorded, parse_body, related_subjects
from modelyard_eventlog.log import AnyRecorded, EventLog, LogPosition
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from modelyard_api.adapters.database import Database
from modelyard_api.projections import checkpoints
from modelyard_api.projections.checkpoints import Checkpoint
from modelyard_api.projections.group import Halted
from modelyard_api.projections.rows import metadata

NAME = "archive"
VERSION = 1
READ_AT_ONCE = 1000
PARSE_AT_ONCE = 100
"""Few enough that the events of a batch are gone before the garbage collector looks at them."""

TABLE = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("related", ARRAY(Text), nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("causation_id", Text, nullable=False),
    Column("traceparent", Text),
    Column("version", Integer, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("raw", Text, nullable=False),
    Index("events_by_related", "related", postgresql_using="gin"),
    Index("events_by_type", "type", "seq"),
)
COLUMNS = [column.name for column in TABLE.columns]


CURE = "stop every service and start the api once with --restore-log=missing, or give it an empty database"


class ArchiveSink:
    name = NAME
    version = VERSION

    def __init__(self) -> None:
        self.tables = [TABLE]

    async def start_over(self, connection: Any, reason: str, *, remake: bool) -> None:
        """Never: it may be all that is left of the log."""
        raise Halted(f"{reason}; {CURE}")

    async def load(self, connection: Any, checkpoint: Checkpoint, last_seq: int) -> None:
        newest = await connection.fetchval("SELECT max(seq) FROM events") or 0
        if newest != checkpoint.seq:
            raise Halted(f"it holds events up to {newest}, but says {checkpoint.seq}")

    async def write(self, connection: Any, events: list[AnyRecorded], old: Checkpoint) -> Checkpoint:
        new = replace(old, seq=events[-1].seq, event_id=events[-1].id)
        async with connection.transaction():
            await connection.copy_records_to_table(
                TABLE.name, records=[values_of(event) for event in events], columns=COLUMNS
            )
            await checkpoints.advance(connection, self.name, old, new)
        return new


def values_of(event: AnyRecorded) -> tuple[Any, ...]:
    """In the order of `COLUMNS`. The data is kept in today's shape, and the version says so."""
    data: Event = event.data
    raw = data.model_dump_json()
    return (
        event.seq,
        event.id,
        event.type,
        event.source,
        event.subject,
        list(related_subjects(data)),
        event.time,
        event.actor,
        event.correlation_id,
        event.causation_id,
        event.traceparent,
        data.version,
        json.dumps(json.loads(raw)),
        raw,
    )


async def recorded(db: Database, after: int, upto: int) -> AsyncIterator[list[AnyRecorded]]:
    """The events beyond `after` up to and with `upto`, in order, batch after batch.

    Raises `DatabaseUnavailable`, `UnknownEventType`.
    """
    async with db.session() as connection:
        for start in range(after, upto, READ_AT_ONCE):
            # by range, not by LIMIT: on a table without statistics Postgres would sort all the rest each time
            found = await connection.fetch(
                "SELECT seq, id, type, source, subject, time, version, actor, correlation_id, causation_id, "
                "traceparent, raw FROM events WHERE seq > $1 AND seq <= $2 ORDER BY seq",
                start,
                min(start + READ_AT_ONCE, upto),
            )
            for first in range(0, len(found), PARSE_AT_ONCE):
                yield [_recorded(row) for row in found[first : first + PARSE_AT_ONCE]]


def _recorded(row: Any) -> AnyRecorded:
    seq, ident, kind, source, subject, time, version, actor, correlation, causation, trace, raw = row
    return Recorded(
        seq=seq,
        id=ident,
        type=kind,
        source=source,
        subject=subject,
        time=time,
        version=version,
        actor=actor,
        correlation_id=correlation,
        causation_id=causation,
        traceparent=trace,
        data=parse_body(kind, version, raw, seq=seq),
    )


async def trusted(
    db: Database, log: EventLog, at_least: int, after: int, position: LogPosition
) -> AsyncIterator[list[AnyRecorded]]:
    """The events beyond `after`, as far as the archive has them, if they are more than `at_least`; none if
    it is not of this log.

    Raises `DatabaseUnavailable`, `LogUnavailable`, `UnknownEventType`.
    """
    async with db.session() as connection:
        checkpoint = await checkpoints.read(connection, NAME)
    if checkpoint is None or checkpoint.seq - after <= at_least:
        return
    if await checkpoints.mismatch(log, position, checkpoint) is not None:
        return
    async for events in recorded(db, after, checkpoint.seq):
        yield events


async def check(db: Database, checkpoint: Checkpoint) -> None:
    """Raises `Halted` if the archive lacks events of its own, `DatabaseUnavailable`."""
    async with db.session() as connection:
        count, newest = await connection.fetchrow("SELECT count(*), max(seq) FROM events")
    if count != checkpoint.seq or newest != checkpoint.seq:
        raise Halted(f"the archive holds {count} events up to {newest}, but says {checkpoint.seq}")
