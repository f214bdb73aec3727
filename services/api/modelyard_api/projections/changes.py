"""The change feed: what clients that watch a resource hear, kept for a while so that they can resume."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, SmallInteger, Table, Text, select
from sqlalchemy.dialects.postgresql import JSONB

from modelyard_api.adapters.database import Database
from modelyard_api.projections import checkpoints
from modelyard_api.projections.rows import View, metadata
from modelyard_api.projections.tails import PAGE, Pruned

GROUP = "read_models"
CREATED, UPDATED, DELETED = 1, 2, 3

TABLE = Table(
    "changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("resource", Text, nullable=False),
    Column("id", BigInteger, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("changed_fields", JSONB, nullable=False),
    Index("changes_by_resource", "resource", "seq", "n"),
)

INSERT = (
    "INSERT INTO changes (seq, n, resource, id, type, data, changed_fields) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7)"
)


@dataclass(frozen=True, slots=True)
class Change:
    seq: int
    n: int
    """Its place among the changes of the same event."""
    resource: str
    id: int
    type: int
    data: View
    changed_fields: dict[str, list[Any]]

    def values(self) -> tuple[Any, ...]:
        return (
            self.seq,
            self.n,
            self.resource,
            self.id,
            self.type,
            json.dumps(self.data),
            json.dumps(self.changed_fields),
        )


async def between(db: Database, after: int, upto: int, resource: str | None = None) -> list[Change]:
    """The changes beyond `after` up to and with `upto`, whole events only: about the first `PAGE`.

    Raises `Pruned` if some of them are no longer kept, and `DatabaseUnavailable`.
    """
    query = select(TABLE).where(TABLE.c.seq > after, TABLE.c.seq <= upto)
    if resource is not None:
        query = query.where(TABLE.c.resource == resource)
    floor = select(checkpoints.TABLE.c.floor).where(checkpoints.TABLE.c.name == GROUP)
    async with db.reading() as connection:
        if after < (await connection.scalar(floor) or 0):
            raise Pruned
        ordered = query.order_by(TABLE.c.seq, TABLE.c.n)
        found = [Change(**row._mapping) for row in await connection.execute(ordered.limit(PAGE))]
        if len(found) < PAGE:
            return found
        rest = query.where(TABLE.c.seq == found[-1].seq, TABLE.c.n > found[-1].n).order_by(TABLE.c.n)
        found.extend(Change(**row._mapping) for row in await connection.execute(rest))
        return found
