"""Questions to the archive: what happened, to whom, since when."""

from dataclasses import dataclass
from typing import Any

from modelyard_contracts.base import utc
from sqlalchemy import Select, select

from modelyard_api.adapters.database import Database
from modelyard_api.projections.archive import TABLE
from modelyard_api.projections.tails import PAGE


@dataclass(frozen=True, slots=True)
class Archived:
    seq: int
    type: str
    related: tuple[str, ...]
    cloud_event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty means any. A subject matches every event of its story (`related_subjects`)."""

    types: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    def matches(self, event: Archived) -> bool:
        if self.types and event.type not in self.types:
            return False
        return not self.subjects or any(subject in self.subjects for subject in event.related)


ANYTHING = Filter()


async def between(
    db: Database, after: int, upto: int, wanted: Filter = ANYTHING, *, limit: int = PAGE
) -> list[Archived]:
    """The first of the events beyond `after` up to and with `upto`. Raises `DatabaseUnavailable`."""
    query = _select(wanted).where(TABLE.c.seq > after, TABLE.c.seq <= upto)
    async with db.asking() as connection:
        return [_archived(row) for row in await connection.execute(query.order_by(TABLE.c.seq).limit(limit))]


async def page(
    db: Database, wanted: Filter, *, since: int, limit: int, newest_first: bool = False
) -> list[Archived]:
    """Raises `DatabaseUnavailable`."""
    order = TABLE.c.seq.desc() if newest_first else TABLE.c.seq
    query = _select(wanted).where(TABLE.c.seq > since).order_by(order).limit(limit)
    async with db.asking() as connection:
        return [_archived(row) for row in await connection.execute(query)]


def _select(wanted: Filter) -> Select[Any]:
    query = select(TABLE)
    if wanted.types:
        query = query.where(TABLE.c.type.in_(wanted.types))
    if wanted.subjects:
        query = query.where(TABLE.c.related.overlap(list(wanted.subjects)))
    return query


def _archived(row: Any) -> Archived:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": row.id,
        "type": row.type,
        "source": row.source,
        "subject": row.subject,
        "time": utc(row.time),
        "datacontenttype": "application/json",
        "dataschemaversion": row.version,
        "sequence": row.seq,
        "correlationid": row.correlation_id,
        "causationid": row.causation_id,
        "actor": row.actor,
        "data": row.data,
    }
    if row.traceparent:
        event["traceparent"] = row.traceparent
    return Archived(row.seq, row.type, tuple(row.related), event)
