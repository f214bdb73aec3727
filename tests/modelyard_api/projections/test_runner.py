"""The projections against a real Postgres: rows follow the log, wherever it is and whatever goes away."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from modelyard_api.adapters.database import Database
from modelyard_api.projections import history, queries
from modelyard_api.projections.folding import READ_MODELS
from modelyard_api.projections.runner import Projections
from modelyard_api_story import deployment, runs, tell, users, whole_story
from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import DeploymentScaled
from modelyard_eventlog.log import AnyRecorded, EventLog, LogPosition
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from nats.aio.client import Client
from waiting import until


def mask(env: dict[str, str]) -> dict[str, str]:
    return dict.fromkeys(env, "********")


@asynccontextmanager
async def projecting(log: EventLog, url: str, **options: Any) -> AsyncIterator[tuple[Projections, Database]]:
    db = Database(url)
    projections = Projections(log, db, mask, **options)
    await projections.start()
    try:
        yield projections, db
    finally:
        await projections.stop()
        await db.close()


async def rows(url: str) -> dict[str, list[Any]]:
    """Everything in the read models' tables, views and hidden parts."""
    connection = await asyncpg.connect(url)
    try:
        return {
            model.table_name: sorted(
                (
                    (
                        row["id"],
                        row["seq"],
                        row["removed_at"],
                        json.loads(row["view"]),
                        json.loads(row["hidden"]),
                    )
                    for row in await connection.fetch(f"TABLE {model.table_name}")
                ),
                key=lambda row: int(row[0]),
            )
            for model in READ_MODELS
        }
    finally:
        await connection.close()


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_rows_follow_the_log(database_url: str) -> None:
    log = InMemoryEventLog()
    async with projecting(log, database_url) as (projections, db):
        seq = await tell(log, *whole_story())
        assert await projections.wait_for(seq, 10)
        assert projections.problem() is None
        found = await queries.view(db, "models", 2)
        assert found is not None
        assert (found[0]["name"], found[0]["replicas"], found[0]["ready_replicas"]) == ("d2", 2, 1)
        assert found[0]["env"] == {"A": "********"}
        assert await queries.highest_id(db, Aggregate.INSTANCE) == 3
        assert await queries.default_cluster_id(db) == 1
        ann = await queries.user_by_name(db, "ann")
        assert ann is not None
        assert (ann.id, ann.is_admin, ann.password_hash, ann.deleted) == (2, False, "hash-of-ann", False)
        assert [worker.name for worker in await queries.ready_workers(db)] == ["w1", "w2"]
        assert await projections.wait_for_archive(seq, 10)
        archived = await history.between(db, 0, seq)
        assert [event.seq for event in archived] == list(range(1, seq + 1))
        logged = [await log.get(number) for number in range(1, seq + 1)]
        assert [event.cloud_event for event in archived] == [event.cloud_event() for event in logged if event]


async def test_rebuilding_gives_the_same_rows(database_url: str) -> None:
    log = InMemoryEventLog()
    async with projecting(log, database_url) as (projections, _):
        for event in whole_story():
            assert await projections.wait_for(await tell(log, event), 10)
    incremental = await rows(database_url)
    await execute(database_url, "UPDATE checkpoints SET schema_version = 0 WHERE name = 'read_models'")
    async with projecting(log, database_url) as (projections, _):
        await until(lambda: projections.position() > 0)
        assert await projections.wait_for((await log.position()).last_seq, 10)
    assert await rows(database_url) == incremental


async def test_going_on_after_a_restart_gives_the_same_rows(database_url: str) -> None:
    log = InMemoryEventLog()
    story = list(whole_story())
    for number in range(0, len(story), 7):
        async with projecting(log, database_url) as (projections, _):
            assert await projections.wait_for(await tell(log, *story[number : number + 7]), 10)
    in_pieces = await rows(database_url)
    await execute(database_url, "DELETE FROM checkpoints WHERE name = 'read_models'")
    async with projecting(log, database_url) as (projections, _):
        assert await projections.wait_for(len(story), 10)
    assert await rows(database_url) == in_pieces


async def test_another_log_means_a_rebuild_and_a_halted_archive(database_url: str) -> None:
    first, second = InMemoryEventLog(), InMemoryEventLog()
    async with projecting(first, database_url) as (projections, _):
        seq = await tell(first, *users("a", "b", "c"))
        assert await projections.wait_for(seq, 10)
        assert await projections.wait_for_archive(seq, 10)
    await tell(second, *users("x"))
    async with projecting(second, database_url) as (projections, db):
        await until(lambda: projections.problem() is not None)
        assert "archive halted: it was made from another event log" in str(projections.problem())
        await until(lambda: projections.position() == 1)
        found = await queries.user_by_id(db, 1)
        assert found is not None
        assert found.username == "x"
        assert await queries.user_by_id(db, 2) is None


class Shorter(InMemoryEventLog):
    """A log that was restored to an earlier state, and says it is as old as `of`."""

    def __init__(self, of: LogPosition) -> None:
        super().__init__()
        self._created = of.created


async def test_a_log_restored_to_an_earlier_state_is_noticed(database_url: str) -> None:
    log = InMemoryEventLog()
    async with projecting(log, database_url) as (projections, _):
        seq = await tell(log, *users("a", "b"))
        assert await projections.wait_for(seq, 10)
        assert await projections.wait_for_archive(seq, 10)
    restored = Shorter(await log.position())
    await tell(restored, *users("a", "other"))
    async with projecting(restored, database_url) as (projections, db):
        await until(lambda: projections.problem() is not None)
        assert "event 2 of the event log is another" in str(projections.problem())
        # the old rows stay readable until the new ones are complete
        async with asyncio.timeout(10):
            while (found := await queries.user_by_id(db, 2)) is None or found.username != "other":
                await asyncio.sleep(0.02)


class Holed(InMemoryEventLog):
    """Loses its second event while it is read."""

    async def follow(self, after: int, *, batch: int = 500) -> AsyncIterator[list[AnyRecorded]]:
        async for events in super().follow(after, batch=batch):
            if kept := [event for event in events if event.seq != 2]:
                yield kept


async def test_a_hole_in_the_log_halts(database_url: str) -> None:
    log = Holed()
    await tell(log, *users("a", "b", "c"))
    async with projecting(log, database_url) as (projections, _):
        await until(lambda: "event 2 is missing" in str(projections.problem()))
        assert projections.position() == 0


async def test_one_process_projects_and_the_others_follow(database_url: str) -> None:
    log = InMemoryEventLog()
    async with projecting(log, database_url) as (first, _):
        assert await first.wait_for(await tell(log, *users("a")), 10)
        async with projecting(log, database_url) as (second, _):
            assert await second.wait_for(1, 10)
            seq = await tell(log, *deployment(1))
            assert await second.wait_for(seq, 10)
            await first.stop()
            assert await second.wait_for(await tell(log, *deployment(2)), 10)
            assert second.problem() is None


async def test_waiting_is_bounded(database_url: str) -> None:
    async with projecting(InMemoryEventLog(), database_url) as (projections, _):
        assert not await projections.wait_for(1, 0.05)


async def test_it_goes_on_after_postgres_cut_every_connection(database_url: str) -> None:
    log = InMemoryEventLog()
    async with projecting(log, database_url) as (projections, db):
        assert await projections.wait_for(await tell(log, *users("a")), 10)
        for number in range(1, 6):
            await execute(
                database_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()",
            )
            seq = await tell(log, *deployment(number))
            assert await projections.wait_for(seq, 10)
        await until(lambda: projections.problem() is None)
        async with asyncio.timeout(10):
            assert await queries.view(db, "models", 5) is not None


async def test_old_changes_are_pruned(database_url: str) -> None:
    log = InMemoryEventLog()
    async with projecting(log, database_url, keep_changes=20) as (projections, _):
        seq = await tell(log, *deployment(1))
        for number in range(100):
            seq = await tell(log, DeploymentScaled(deployment_id=1, replicas=number, previous_replicas=0))
            assert await projections.wait_for(seq, 10)
    connection = await asyncpg.connect(database_url)
    oldest = await connection.fetchval("SELECT min(seq) FROM changes")
    floor = await connection.fetchval("SELECT floor FROM checkpoints WHERE name = 'read_models'")
    await connection.close()
    assert oldest == floor + 1
    assert seq - 23 <= floor <= seq - 20


@pytest.mark.parametrize("far", [10, 1_000_000])
async def test_a_long_log_is_folded_in_memory_first(database_url: str, far: int) -> None:
    """Whether the backlog counts as far behind or not, the rows are the same."""
    log = InMemoryEventLog()
    await tell(log, *users("a"))
    async with projecting(log, database_url) as (projections, _):
        assert await projections.wait_for(1, 10)
    story = list(whole_story())[1:]
    seq = await tell(log, *story, runs(3, 2, 2, attempt=1))
    async with projecting(log, database_url, far_behind=far) as (projections, db):
        assert await projections.wait_for(seq, 10)
        found = await queries.view(db, "models", 2)
        assert found is not None
        assert found[0]["ready_replicas"] == 2


class FollowedFrom(InMemoryEventLog):
    """Remembers from where it was followed."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[int] = []

    def follow(self, after: int, *, batch: int = 500) -> AsyncIterator[list[AnyRecorded]]:
        self.starts.append(after)
        return super().follow(after, batch=batch)


async def test_a_rebuild_reads_the_archive_and_comes_out_the_same(database_url: str) -> None:
    log = FollowedFrom()
    seq = await tell(log, *whole_story())
    async with projecting(log, database_url) as (projections, _):
        assert await projections.wait_for(seq, 10)
        assert await projections.wait_for_archive(seq, 10)
    before = await rows(database_url)
    await execute(database_url, "UPDATE checkpoints SET schema_version = 0 WHERE name = 'read_models'")
    log.starts.clear()
    later = await tell(log, *users("bea"))
    await execute(database_url, "DELETE FROM model_instances")
    async with projecting(log, database_url, far_behind=5) as (projections, _):
        assert await projections.wait_for(later, 10)
    assert log.starts and min(log.starts) >= seq
    after = await rows(database_url)
    assert after["model_instances"] == before["model_instances"]
    assert after["models"] == before["models"]


async def test_from_a_real_log(database_url: str, own_nats: Client) -> None:
    await provision(own_nats)
    log = NatsEventLog(own_nats)
    async with projecting(log, database_url) as (projections, db):
        seq = await tell(log, *whole_story())
        assert await projections.wait_for(seq, 10)
        assert await projections.wait_for_archive(seq, 10)
        found = await queries.view(db, "model-instances", 1)
        assert found is not None
        assert found[0]["state"] == "running"
        assert found[0]["updated_at"] > (found[0]["created_at"])
