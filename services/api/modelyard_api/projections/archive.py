"""The archive: every event once more, in Postgres. Answers questions about the past, and is where the
log is restored from."""

import json
from dataclasses import replace
from typing import Any

from modelyard_contracts.base import Event
from modelyard_contracts.envelope import related_subjects
from modelyard_eventlog.log import AnyRecorded
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from modelyard_api.projections import checkpoints
from modelyard_api.projections.checkpoints import Checkpoint
from modelyard_api.projections.group import Halted
from modelyard_api.projections.rows import metadata

NAME = "archive"
VERSION = 1

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


class ArchiveSink:
    name = NAME
    version = VERSION

    def __init__(self) -> None:
        self.tables = [TABLE]

    async def start_over(self, connection: Any, reason: str, *, remake: bool) -> None:
        """Never: it may be all that is left of the log."""
        raise Halted(f"{reason}; restore the log from the archive, or move the archive's tables away")

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
