"""The log put back from its archive, on a real nats-server and a real Postgres."""

from typing import Any

import pytest
from modelyard_api.adapters.database import Database
from modelyard_api.handlers.restoring import difference, restore_log
from modelyard_api.projections import archive
from modelyard_api.projections.runner import Projections
from modelyard_api_story import tell, users, whole_story
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_eventlog.restoring import RestoreRefused, remove_log, restore
from nats.aio.client import Client


@pytest.fixture
async def log(own_nats: Client) -> NatsEventLog:
    await provision(own_nats)
    return NatsEventLog(own_nats)


async def archived(log: NatsEventLog, url: str) -> int:
    """Tells a story and projects it; where it ends."""
    seq = await tell(log, *whole_story())
    await project(log, url)
    return seq


async def project(log: NatsEventLog, url: str) -> None:
    db = Database(url)
    projections = Projections(log, db, dict)
    await projections.start()
    last = (await log.position()).last_seq
    assert await projections.wait_for_archive(last, 10), projections.problem()
    assert await projections.wait_for(last, 10), projections.problem()
    await projections.stop()
    await db.close()


async def everything(log: NatsEventLog) -> list[dict[str, Any]]:
    last = (await log.position()).last_seq
    found = [await log.get(seq) for seq in range(1, last + 1)]
    return [event._asdict() for event in found if event is not None]


async def test_a_lost_log_comes_back(own_nats: Client, log: NatsEventLog, database_url: str) -> None:
    last = await archived(log, database_url)
    before = await everything(log)
    await remove_log(own_nats)
    db = Database(database_url)
    assert await difference(log, db) is not None

    restored = await restore_log(own_nats, db, replace_log=False)

    assert (restored.events, restored.last_seq) == (last, last)
    assert await everything(log) == before
    assert await difference(log, db) is None
    await tell(log, *users("bea"))
    await project(log, database_url)
    await db.close()


async def test_a_log_that_lost_its_end_is_completed(
    own_nats: Client, log: NatsEventLog, database_url: str
) -> None:
    last = await archived(log, database_url)
    before = await everything(log)
    await remove_log(own_nats)
    db = Database(database_url)
    assert await restore(own_nats, archive.recorded(db, 0, last - 3)) == last - 3
    again = await restore_log(own_nats, db, replace_log=False)
    assert (again.events, again.last_seq) == (3, last)
    assert await everything(log) == before
    await db.close()


async def test_another_logs_events_are_given_up_only_when_asked_to(
    own_nats: Client, log: NatsEventLog, database_url: str
) -> None:
    last = await archived(log, database_url)
    before = await everything(log)
    await remove_log(own_nats)
    await tell(log, *users("bea", "cy"))
    others = await everything(log)
    db = Database(database_url)
    with pytest.raises(RestoreRefused, match="not the archive's"):
        await restore_log(own_nats, db, replace_log=False)
    assert await everything(log) == others

    restored = await restore_log(own_nats, db, replace_log=True)

    assert restored.events == last
    assert await everything(log) == before
    await db.close()


@pytest.mark.parametrize("replace_log", [False, True])
async def test_a_log_that_has_all_of_the_archive_stays_as_it_is(
    own_nats: Client, log: NatsEventLog, database_url: str, replace_log: bool
) -> None:
    await archived(log, database_url)
    await tell(log, *users("bea"))
    before = await everything(log)
    db = Database(database_url)
    assert (await restore_log(own_nats, db, replace_log=replace_log)).events == 0
    assert await everything(log) == before
    await db.close()


async def test_an_empty_archive_restores_nothing(
    own_nats: Client, log: NatsEventLog, database_url: str
) -> None:
    db = Database(database_url)
    assert await difference(log, db) is None
    with pytest.raises(RestoreRefused, match="empty"):
        await restore_log(own_nats, db, replace_log=True)
    await db.close()
