"""What gateways counted, summed up by the hour in a real Postgres, once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from modelyard_api.adapters.database import Database, DatabaseUnavailable
from modelyard_api.domain.errors import Refusal
from modelyard_api.projections import usage
from modelyard_api.projections.accounts import API_KEY_TABLE, USER_TABLE
from modelyard_api.projections.metering import Metering
from modelyard_api.projections.routes import TABLE as ROUTE_TABLE
from modelyard_api.projections.rows import View
from modelyard_api.projections.schema import make_tables
from modelyard_api.projections.usage import Question
from modelyard_api.routes.context import Caller
from modelyard_api.routes.usage import question_of
from modelyard_contracts.usage import BASES, PACKED, Basis, Metered, unpacked
from modelyard_eventlog.provision import provision
from modelyard_eventlog.usage import UsageStream
from nats.aio.client import Client
from starlette.datastructures import QueryParams

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR_S = 3600


def entry(number: int, **more: Any) -> bytes:
    fields: dict[str, Any] = {
        "request_id": f"r-{number}",
        "started_at": NOON.timestamp() + 60,
        "key_id": 1,
        "user_id": 1,
        "route_id": 4,
        "instance_id": 9,
        "status": 200,
        "code": None,
        "basis": Basis.COUNTED,
        "tokens_in": 10,
        "tokens_out": 5,
        "tokens_cached": 2,
        "duration_s": 2.0,
        "first_token_s": 0.5,
    }
    one = Metered(number=number, **{**fields, **more})
    packed = PACKED.pack(
        one.number,
        one.started_at,
        one.key_id,
        one.user_id,
        one.route_id,
        -1 if one.instance_id is None else one.instance_id,
        one.tokens_in,
        one.tokens_out,
        one.tokens_cached,
        one.duration_s,
        -1.0 if one.first_token_s is None else one.first_token_s,
        one.status,
        BASES.index(one.basis),
        len(one.request_id),
        (one.code or "").encode(),
        one.request_id.encode(),
    )
    assert list(unpacked(packed)) == [one]
    return packed


def asked(*group_by: str, timezone: str = "UTC", **only: int) -> Question:
    start, end = NOON.replace(hour=0), NOON.replace(day=3)
    return Question(start, end, timezone, group_by, only)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    made = Database(database_url, pool_size=2)
    async with made.session() as connection:
        await make_tables(connection, [USER_TABLE, API_KEY_TABLE, ROUTE_TABLE])
    yield made
    await made.close()


async def summed(db: Database, requests: int, question: Question) -> list[View]:
    """The answer as soon as so many requests are in it."""
    found: list[View] = []
    async with asyncio.timeout(20):
        while sum(one["requests"] for one in found) < requests:
            with contextlib.suppress(DatabaseUnavailable):
                found = await usage.read(db, question, 100)
            await asyncio.sleep(0.02)
    return found


@contextlib.asynccontextmanager
async def metering(nats: Client, db: Database) -> AsyncIterator[None]:
    task = asyncio.create_task(Metering(UsageStream(nats), db).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_line_counts_once_however_often_it_comes(own_nats: Client, db: Database) -> None:
    await provision(own_nats)
    stream = UsageStream(own_nats)
    await stream.publish("a", 1, 2, entry(1) + entry(2))
    await stream.publish("a", 1, 3, entry(1) + entry(2) + entry(3, route_id=5))
    await stream.publish("b", 1, 1, entry(1, user_id=2))
    await stream.publish("b", 9, 9, b"nonsense")
    async with metering(own_nats, db):
        total = await summed(db, 4, asked())
        assert [(one["requests"], one["tokens_in"]) for one in total] == [(4, 40)]
    await stream.publish("a", 2, 4, entry(2) + entry(3) + entry(4))
    async with metering(own_nats, db):
        by_route = await summed(db, 5, asked("route"))
    assert [(one["route_id"], one["requests"]) for one in by_route] == [(4, 4), (5, 1)]
    assert [one["requests"] for one in await usage.read(db, asked(user_id=2), 9)] == [1]
    assert await usage.read(db, asked("key", route_id=99), 9) == []


async def test_a_stream_that_is_made_anew_is_read_from_its_beginning(own_nats: Client, db: Database) -> None:
    await provision(own_nats)
    stream = UsageStream(own_nats)
    await stream.publish("a", 1, 2, entry(1) + entry(2))
    async with metering(own_nats, db):
        await summed(db, 2, asked())
    await own_nats.jetstream().delete_stream("USAGE")
    await provision(own_nats)
    await stream.publish("a", 2, 3, entry(2) + entry(3))
    async with metering(own_nats, db):
        (total,) = await summed(db, 3, asked())
    assert (total["requests"], total["tokens_out"]) == (3, 15)


async def test_groups_days_and_means(own_nats: Client, db: Database) -> None:
    await provision(own_nats)
    late = NOON.timestamp() + 11.5 * HOUR_S
    lines = [
        entry(1),
        entry(2, started_at=late, status=502, code="instance_failed", basis=Basis.ESTIMATED, duration_s=4.0),
        entry(3, started_at=late, basis=Basis.IN_FLIGHT, status=0, duration_s=0.0, first_token_s=None),
        entry(4, started_at=late, status=404, instance_id=None, first_token_s=None),
    ]
    await UsageStream(own_nats).publish("a", 1, 4, b"".join(lines))
    async with metering(own_nats, db):
        hours = await summed(db, 4, asked("hour"))
    assert [(one["hour"], one["requests"]) for one in hours] == [
        ("2026-01-01T12:00:00+00:00", 1),
        ("2026-01-01T23:00:00+00:00", 3),
    ]
    named = ("failed", "in_flight", "estimated", "mean_duration_s", "mean_first_token_s")
    assert [hours[1][name] for name in named] == [2, 1, 1, 3.0, 0.5]
    berlin = await usage.read(db, asked("day", "user", timezone="Europe/Berlin"), 9)
    assert [(one["day"], one["user_id"], one["user_name"]) for one in berlin] == [
        ("2026-01-01", 1, None),
        ("2026-01-02", 1, None),
    ]
    assert {one["instance_id"] for one in await usage.read(db, asked("instance"), 9)} == {9, None}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("nonsense=1", "nonsense"),
        ("group_by=day,moon", "moon"),
        ("from=yesterday", "from"),
        ("from=2026-01-02&to=2026-01-01", "from"),
        ("timezone=Moon/Tranquility", "timezone"),
        ("key_id=x", "key_id"),
        ("user_id=2", "only an admin"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(query: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        question_of(QueryParams(query), Caller(user_id=1, is_admin=False), NOON)


def test_who_is_no_admin_sees_their_own() -> None:
    mine = question_of(QueryParams("group_by=day&group_by=key,day"), Caller(user_id=7, is_admin=False), NOON)
    assert (mine.only, mine.group_by) == ({"user_id": 7}, ["day", "key"])
    assert mine.end.hour == 13
    everyone = question_of(QueryParams("from=2025-12-31T23:30:00+02:00"), Caller(1, is_admin=True), NOON)
    assert (everyone.only, everyone.start) == ({}, datetime(2025, 12, 31, 21, tzinfo=UTC))
