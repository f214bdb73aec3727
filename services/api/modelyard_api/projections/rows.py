"""What a row of a read model is, and how every read model's table is built.

All tables look alike: what a client sees is `view`, what it must not see is `hidden`, and the fields
that lists filter and sort by are columns of their own, filled from these two.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from modelyard_contracts.base import Aggregate, utc
from modelyard_eventlog.log import AnyRecorded
from sqlalchemy import BigInteger, Boolean, Column, DateTime, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

View = dict[str, Any]
MaskEnv = Callable[[dict[str, str]], dict[str, str]]

metadata = MetaData()

BASE_SORTABLE = frozenset({"id", "created_at", "updated_at"})

BASE_COLUMNS = ("id", "seq", "changed_seq", "created_at", "updated_at", "removed_at", "view", "hidden")

KINDS: dict[str, type[Any]] = {"int": BigInteger, "text": Text, "bool": Boolean}


class Row(NamedTuple):
    id: int
    seq: int
    """Of the last event of the row's own aggregate: what a writer must have seen to change it."""
    changed_seq: int
    """Of the last event that changed the view, which may be another aggregate's."""
    created_at: datetime
    updated_at: datetime
    view: View
    hidden: dict[str, Any]
    removed_at: datetime | None = None


@dataclass(frozen=True)
class ReadModel:
    """One resource: its name in the API, its table, and what one of its own events does to a row."""

    resource: str
    aggregate: Aggregate
    id_field: str
    """The field of the aggregate's events that names the row."""
    columns: dict[str, str]
    """Filled from the view or, failing that, from hidden; the kind is `texts`, `time` or a key of `KINDS`."""
    sortable: frozenset[str]

    @property
    def table_name(self) -> str:
        return self.resource.replace("-", "_")


class Fold(Protocol):
    """The row after one event of its own aggregate; None if the event is about a row that is not there."""

    def __call__(self, event: AnyRecorded, row: Row | None) -> Row | None: ...


def table_of(model: ReadModel) -> Table:
    def kind(name: str) -> Any:
        if name == "time":
            return DateTime(timezone=True)
        return ARRAY(Text) if name == "texts" else KINDS[name]()

    return Table(
        model.table_name,
        metadata,
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("seq", BigInteger, nullable=False),
        Column("changed_seq", BigInteger, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("updated_at", DateTime(timezone=True), nullable=False),
        Column("removed_at", DateTime(timezone=True)),
        Column("view", JSONB, nullable=False),
        Column("hidden", JSONB, nullable=False),
        *(Column(name, kind(column)) for name, column in model.columns.items()),
    )


def values_of(model: ReadModel, row: Row) -> tuple[Any, ...]:
    """The row as asyncpg takes it, in the order of `BASE_COLUMNS` and the model's own columns."""
    base = (
        row.id,
        row.seq,
        row.changed_seq,
        row.created_at,
        row.updated_at,
        row.removed_at,
        json.dumps(row.view),
        json.dumps(row.hidden),
    )
    return base + tuple(_column(row, name, kind) for name, kind in model.columns.items())


def _column(row: Row, name: str, kind: str) -> Any:
    value = row.view[name] if name in row.view else row.hidden.get(name)
    return datetime.fromisoformat(value) if kind == "time" and value is not None else value


def row_of(record: Any) -> Row:
    """The other way: a row from a record that has the base columns."""
    return Row(
        id=record["id"],
        seq=record["seq"],
        changed_seq=record["changed_seq"],
        created_at=record["created_at"],
        updated_at=record["updated_at"],
        removed_at=record["removed_at"],
        view=json.loads(record["view"]),
        hidden=json.loads(record["hidden"]),
    )


def upsert_sql(model: ReadModel) -> str:
    names = [*BASE_COLUMNS, *model.columns]
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name != "id")
    return (
        f"INSERT INTO {model.table_name} ({', '.join(names)}) VALUES ({places}) "  # noqa: S608
        f"ON CONFLICT (id) DO UPDATE SET {updates}"
    )


def created(event: AnyRecorded, ident: int, view: View, hidden: dict[str, Any] | None = None) -> Row:
    moment = utc(event.time)
    return Row(
        id=ident,
        seq=event.seq,
        changed_seq=event.seq,
        created_at=event.time,
        updated_at=event.time,
        view={"id": ident, **view, "created_at": moment, "updated_at": moment},
        hidden=hidden or {},
    )


def changed(event: AnyRecorded, row: Row, view: View, hidden: dict[str, Any] | None = None) -> Row:
    """The row after one of its own events, with these fields of the view (and all of hidden) replaced."""
    return row._replace(
        seq=event.seq,
        changed_seq=event.seq,
        updated_at=event.time,
        view={**row.view, **view, "updated_at": utc(event.time)},
        hidden=row.hidden if hidden is None else hidden,
    )


def noted(event: AnyRecorded, row: Row) -> Row:
    """The row after one of its own events that shows nothing."""
    return row._replace(seq=event.seq)


def removed(event: AnyRecorded, row: Row) -> Row:
    return row._replace(seq=event.seq, changed_seq=event.seq, updated_at=event.time, removed_at=event.time)


def affected(event: AnyRecorded, row: Row, view: View, hidden: dict[str, Any] | None = None) -> Row:
    """The row after another aggregate's event: its own `seq` stays, so writers are not disturbed."""
    if hidden is None and all(row.view.get(name) == value for name, value in view.items()):
        return row
    return row._replace(
        changed_seq=event.seq,
        view={**row.view, **view},
        hidden=row.hidden if hidden is None else hidden,
    )


def differences(before: View, after: View) -> dict[str, list[Any]]:
    """Per changed field, what it was and what it is, each as a list (as watch frames have it)."""
    return {
        name: [_listed(before.get(name)), _listed(value)]
        for name, value in after.items()
        if before.get(name) != value
    }


def view_before(after: View, fields: dict[str, list[Any]]) -> View:
    """What the view was, from `differences`."""
    return {
        **after,
        **{name: was if isinstance(after.get(name), list) else was[0] for name, (was, _) in fields.items()},
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
