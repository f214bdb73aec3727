"""Lists of a resource: filtered, sorted, a page at a time, all from one moment of the log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from modelyard_api.adapters.database import Database
from modelyard_api.projections import changes, checkpoints
from modelyard_api.projections.queries import table
from modelyard_api.projections.rows import ReadModel, View

Columns = Any
"""The columns of a read model's table, by name."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter, as the database and as a watcher of views applies it."""

    sql: Callable[[Columns], ColumnElement[bool]]
    holds: Callable[[View], bool]


@dataclass(frozen=True, slots=True)
class Listing:
    conditions: Sequence[Condition]
    sort: Sequence[tuple[str, bool]]
    """Column and whether it descends."""
    page: int
    """Below 1: everything."""
    per_page: int

    def holds(self, view: View) -> bool:
        return all(condition.holds(view) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Page:
    views: Sequence[View]
    changed_seqs: Sequence[int]
    """For each view, the event that changed it last."""
    total: int
    seq: int
    """The position of the log that the list is of."""


async def read(db: Database, model: ReadModel, listing: Listing) -> Page:
    """Raises `DatabaseUnavailable`."""
    columns = table(model).c
    where = [columns.removed_at.is_(None), *(condition.sql(columns) for condition in listing.conditions)]
    query: Select[Any] = select(columns.view, columns.changed_seq).where(*where)
    query = query.order_by(*_order(columns, listing.sort))
    if listing.page >= 1:
        query = query.limit(listing.per_page).offset((listing.page - 1) * listing.per_page)
    at = select(checkpoints.TABLE.c.seq).where(checkpoints.TABLE.c.name == changes.GROUP)
    async with db.reading() as connection:
        seq = await connection.scalar(at) or 0
        rows = list(await connection.execute(query))
        total = await connection.scalar(select(func.count()).select_from(table(model)).where(*where))
    return Page([row.view for row in rows], [row.changed_seq for row in rows], total or 0, seq)


def _order(columns: Columns, sort: Sequence[tuple[str, bool]]) -> list[ColumnElement[Any]]:
    """Ties are settled by id, so that pages never overlap."""
    named = [columns[name].desc() if descends else columns[name] for name, descends in sort]
    return [*named, columns.id.desc() if not sort or sort[0][1] else columns.id]
