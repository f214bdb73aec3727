"""A moment that is past is the same whether the archive is folded from its start or from what is kept."""

from datetime import timedelta

import pytest
from modelyard_api.adapters.database import Database
from modelyard_api.projections import archive, moments
from modelyard_api.projections.moments import Past
from modelyard_api.projections.runner import Projections
from modelyard_api_story import tell, whole_story
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from nats.aio.client import Client


async def test_whatever_was_asked_before_a_moment_is_the_same(
    own_nats: Client, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provision(own_nats)
    log = NatsEventLog(own_nats)
    last = await tell(log, *whole_story())
    db = Database(database_url)
    projections = Projections(log, db, dict)
    await projections.start()
    assert await projections.wait_for_archive(last, 10), projections.problem()
    events = [event async for batch in archive.recorded(db, 0, last) for event in batch]
    times = [event.time for event in events[:: max(1, last // 6)]]
    fresh = [await Past().at(db, time) for time in times]
    assert fresh[-1].workers

    monkeypatch.setattr(moments, "FEWEST", 2)
    monkeypatch.setattr(moments, "KEPT", 4)
    monkeypatch.setattr(archive, "PARSE_AT_ONCE", 1)
    past = Past()
    await past.at(db, events[-1].time)
    for order in (times, times[::-1], times):
        found = {time: await past.at(db, time) for time in order}
        assert [found[time] for time in times] == fresh
    assert await past.at(db, events[0].time - timedelta(seconds=1)) == await Past().at(
        db, events[0].time - timedelta(seconds=1)
    )
    await projections.stop()
    await db.close()
