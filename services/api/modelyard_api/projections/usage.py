"""What was used, by the hour: the table, the sums of what gateways counted, and the question.

It is made from the stream of usage, not from the event log. A line is summed once: its number must be
higher than all that were seen of its gateway process.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelyard_contracts.usage import Basis, Metered
from sqlalchemy import BigInteger, Column, DateTime, Double, Select, Table, Text, func, literal_column, select

from modelyard_api.adapters.database import Database
from modelyard_api.projections.accounts import API_KEY_TABLE, USER_TABLE
from modelyard_api.projections.routes import TABLE as ROUTE_TABLE
from modelyard_api.projections.rows import View, metadata

HOUR_S = 3600
KEYS = ("user_id", "key_id", "route_id", "instance_id")
COUNTS = (
    "requests",
    "failed",
    "in_flight",
    "estimated",
    "tokens_in",
    "tokens_out",
    "tokens_cached",
    "streams",
)
"""`failed`: answered by an error, or broken off. `estimated`: requests whose tokens are guesses."""
TIMES = ("duration_s", "first_token_s")

HOURS = Table(
    "usage_hours",
    metadata,
    Column("hour", DateTime(timezone=True), primary_key=True),
    *(Column(name, BigInteger, primary_key=True, autoincrement=False) for name in KEYS),
    *(Column(name, BigInteger, nullable=False) for name in COUNTS),
    *(Column(name, Double, nullable=False) for name in TIMES),
)
PROCESSES = Table(
    "usage_processes",
    metadata,
    Column("process", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

Group = tuple[datetime, int, int, int, int]


class Sums:
    """Of some lines, by hour, user, key, route and instance (0: none)."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        """`numbers`: the highest that was seen of each process."""
        self.numbers = dict(numbers)
        self.of: dict[Group, list[float]] = {}

    def add(self, process: str, metered: Metered) -> None:
        if metered.number <= self.numbers.get(process, 0):
            return
        self.numbers[process] = metered.number
        hour = datetime.fromtimestamp(metered.started_at // HOUR_S * HOUR_S, UTC)
        group = (hour, metered.user_id, metered.key_id, metered.route_id, metered.instance_id or 0)
        sums = self.of.setdefault(group, [0] * (len(COUNTS) + len(TIMES)))
        for place, value in enumerate(_values(metered)):
            sums[place] += value

    def rows(self) -> list[tuple[Any, ...]]:
        return [
            (*group, *map(int, sums[: len(COUNTS)]), *sums[len(COUNTS) :]) for group, sums in self.of.items()
        ]


def _values(metered: Metered) -> Iterator[float]:
    """In the order of `COUNTS` and `TIMES`."""
    in_flight = metered.basis is Basis.IN_FLIGHT
    yield 1
    yield not in_flight and (metered.code is not None or metered.status >= 400)
    yield in_flight
    yield metered.basis is Basis.ESTIMATED
    yield metered.tokens_in
    yield metered.tokens_out
    yield metered.tokens_cached
    yield metered.first_token_s is not None
    yield metered.duration_s
    yield metered.first_token_s or 0.0


def _add_sql() -> str:
    names = ["hour", *KEYS, *COUNTS, *TIMES]
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    sums = ", ".join(f"{name} = usage_hours.{name} + excluded.{name}" for name in (*COUNTS, *TIMES))
    return (
        f"INSERT INTO usage_hours ({', '.join(names)}) VALUES ({places}) "  # noqa: S608
        f"ON CONFLICT (hour, {', '.join(KEYS)}) DO UPDATE SET {sums}"
    )


ADD = _add_sql()
KEEP_NUMBER = (
    "INSERT INTO usage_processes (process, number) VALUES ($1, $2) "
    "ON CONFLICT (process) DO UPDATE SET number = excluded.number"
)


async def numbers_of(connection: Any, processes: Iterable[str]) -> dict[str, int]:
    query = "SELECT process, number FROM usage_processes WHERE process = ANY($1::text[])"
    return {row["process"]: row["number"] for row in await connection.fetch(query, list(processes))}


GROUPINGS = ("hour", "day", "user", "key", "route", "instance")
NAMES = {
    "user": (USER_TABLE, USER_TABLE.c.username),
    "key": (API_KEY_TABLE, API_KEY_TABLE.c.name),
    "route": (ROUTE_TABLE, ROUTE_TABLE.c.name),
}
"""Where the name of a group is; of what was deleted, the last one it had."""
NOBODY = {"user": "anonymous", "key": "anonymous"}
"""Calls of public routes without a key."""


@dataclass(frozen=True, slots=True)
class Question:
    """From `start` up to and without `end`, hours as a whole; `only` are ids by the name of their column."""

    start: datetime
    end: datetime
    timezone: str
    """Whose days are meant."""
    group_by: Sequence[str]
    only: Mapping[str, int]


async def read(db: Database, asked: Question, most: int) -> list[View]:
    """Sums by group, in the groups' order, up to `most`. Raises `DatabaseUnavailable`."""
    async with db.asking() as connection:
        rows = await connection.execute(_query(asked).limit(most))
        return [_view(asked, row._mapping) for row in rows]


def _query(asked: Question) -> Select[Any]:
    hours = HOURS.c
    columns: list[Any] = []
    source: Any = HOURS
    for group in asked.group_by:
        if group == "hour":
            columns.append(hours.hour.label("hour"))
        elif group == "day":
            columns.append(func.date(func.timezone(asked.timezone, hours.hour)).label("day"))
        else:
            columns.append(hours[f"{group}_id"])
        if group in NAMES:
            table, name = NAMES[group]
            source = source.outerjoin(table, table.c.id == hours[f"{group}_id"])
            columns.append(func.min(name).label(f"{group}_name"))
    sums = [func.coalesce(func.sum(hours[name]), 0).label(name) for name in (*COUNTS, *TIMES)]
    query = select(*columns, *sums).select_from(source)
    query = query.where(hours.hour >= asked.start, hours.hour < asked.end)
    query = query.where(*(hours[name] == ident for name, ident in asked.only.items()))
    keys: list[Any] = [literal_column(_label(group)) for group in asked.group_by]
    return query.group_by(*keys).order_by(*keys)


def _label(group: str) -> str:
    return group if group in ("hour", "day") else f"usage_hours.{group}_id"


def _view(asked: Question, row: Mapping[str, Any]) -> View:
    view: View = {}
    for group in asked.group_by:
        if group in ("hour", "day"):
            view[group] = row[group].isoformat()
            continue
        view[f"{group}_id"] = row[f"{group}_id"] or None
        if group in NAMES:
            view[f"{group}_name"] = row[f"{group}_name"] if row[f"{group}_id"] else NOBODY.get(group)
    view |= {name: int(row[name]) for name in COUNTS}
    view["mean_duration_s"] = _mean(row["duration_s"], view["requests"] - view["in_flight"])
    view["mean_first_token_s"] = _mean(row["first_token_s"], view["streams"])
    return view


def _mean(total: float, count: int) -> float | None:
    return round(total / count, 4) if count else None
