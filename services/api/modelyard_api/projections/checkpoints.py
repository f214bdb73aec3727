"""How far a group of read models has come, and which log it came from."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from modelyard_eventlog.log import AnyRecorded, EventLog, LogPosition
from sqlalchemy import BigInteger, Column, DateTime, Integer, Table, Text

from modelyard_api.projections.rows import metadata

SCHEMA_VERSION = 11
"""Goes up when a table or a fold changes: the read models are then rebuilt."""

REPLICA_TRIES = 20
REPLICA_PAUSE_S = 0.1

TABLE = Table(
    "checkpoints",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("log_created", DateTime(timezone=True), nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("floor", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    seq: int
    event_id: str
    log_created: datetime
    schema_version: int
    floor: int
    """Everything beyond this sequence is still in the change feed."""


def fresh(log_created: datetime) -> Checkpoint:
    return Checkpoint(0, "", log_created, SCHEMA_VERSION, 0)


async def read(connection: Any, name: str) -> Checkpoint | None:
    found = await connection.fetchrow(
        "SELECT seq, event_id, log_created, schema_version, floor FROM checkpoints WHERE name = $1", name
    )
    return None if found is None else Checkpoint(*found)


class Overtaken(Exception):
    """Somebody else moved the checkpoint: what this process holds in memory is stale."""


async def advance(connection: Any, name: str, old: Checkpoint, new: Checkpoint) -> None:
    """Tells listeners too. Raises `Overtaken` unless the checkpoint is still `old`."""
    moved = await connection.fetchval(
        "WITH moved AS (UPDATE checkpoints SET seq = $3, event_id = $4, floor = $5 "
        "WHERE name = $1 AND seq = $2 AND event_id = $6 RETURNING seq) "
        "SELECT pg_notify($7, seq::text)::text IS NOT NULL FROM moved",
        name,
        old.seq,
        new.seq,
        new.event_id,
        new.floor,
        old.event_id,
        channel(name),
    )
    if not moved:
        raise Overtaken(f"somebody else projects {name}")


async def start(connection: Any, name: str, new: Checkpoint) -> None:
    await connection.execute(
        "INSERT INTO checkpoints (name, seq, event_id, log_created, schema_version, floor) "
        "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET seq = $2, event_id = $3, "
        "log_created = $4, schema_version = $5, floor = $6",
        name,
        new.seq,
        new.event_id,
        new.log_created,
        new.schema_version,
        new.floor,
    )
    await connection.execute("SELECT pg_notify($1, $2)", channel(name), str(new.seq))


async def mismatch(log: EventLog, position: LogPosition, checkpoint: Checkpoint) -> str | None:
    """Why one must not go on from this checkpoint, or None if one may. Raises `LogUnavailable`."""
    if checkpoint.log_created != position.created:
        return f"it was made from another event log (of {checkpoint.log_created:%Y-%m-%d %H:%M:%S} UTC)"
    if checkpoint.seq > position.last_seq:
        return f"it is at event {checkpoint.seq}, but the event log ends at {position.last_seq}"
    if checkpoint.seq:
        found = await _there(log, checkpoint.seq)
        if found is None or found.id != checkpoint.event_id:
            return f"event {checkpoint.seq} of the event log is another than the one it has seen"
    return None


async def _there(log: EventLog, seq: int) -> AnyRecorded | None:
    """An event below the log's end. The replica that is asked may be a moment behind the leader."""
    for _ in range(REPLICA_TRIES):
        found = await log.get(seq)
        if found is not None:
            return found
        await asyncio.sleep(REPLICA_PAUSE_S)
    return None


def channel(name: str) -> str:
    """The NOTIFY channel of a group; the payload is the new position."""
    return "modelyard_projection" if name == "read_models" else f"modelyard_{name}"


def lock_key(name: str) -> int:
    """The advisory lock of a group, the same in every process."""
    return int.from_bytes(hashlib.blake2b(f"modelyard/{name}".encode(), digest_size=8).digest(), signed=True)
