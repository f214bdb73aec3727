"""The contract of the event log: one suite, every adapter."""

import asyncio
from collections.abc import AsyncIterator

import nats
import pytest
from conftest import NatsServer
from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import NameClaimed
from modelyard_eventlog.log import AnyRecorded, Conflict, EventLog, LogUnavailable, Write
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_eventlog_cases import cause, requested, scaled


async def read(log: EventLog, after: int, until: int) -> list[AnyRecorded]:
    found: list[AnyRecorded] = []
    async with asyncio.timeout(20):
        async for batch in log.follow(after):
            found.extend(batch)
            if found[-1].seq >= until:
                return found
    raise AssertionError("the log ended")


@pytest.fixture(params=["memory", "nats"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[EventLog]:
    if request.param == "memory":
        yield InMemoryEventLog()
        return
    server: NatsServer = request.getfixturevalue("fresh_nats")
    await server.wait_until_ready()
    client = await nats.connect(server.url, pending_size=0)
    await provision(client)
    yield NatsEventLog(client)
    await client.close()


async def test_what_was_appended_is_loaded_with_its_envelope(log: EventLog) -> None:
    appended = await log.append([Write(requested(1), 0)], cause("c1"))

    [event] = await log.load(Aggregate.DEPLOYMENT, "1")
    assert event.seq == appended.seq
    assert event.data == requested(1)
    assert (event.id, event.type, event.subject) == ("c1/0", "DeploymentRequested", "deployment/1")
    assert (event.actor, event.correlation_id, event.causation_id) == ("user/1", "story", "why")
    assert event.time == cause("c1").time
    assert event.traceparent == cause("c1").traceparent
    assert await log.get(appended.seq) == event


async def test_a_write_on_an_outdated_sequence_is_a_conflict_and_changes_nothing(log: EventLog) -> None:
    await log.append([Write(requested(1), 0)], cause("c1"))
    with pytest.raises(Conflict) as refused:
        await log.append([Write(requested(1), 0)], cause("c2"))
    assert refused.value.subject == "deployment/1"
    assert (await log.position()).last_seq == 1


async def test_the_same_command_again_answers_with_the_first_result(log: EventLog) -> None:
    first = await log.append([Write(requested(1), 0)], cause("c1"))
    await log.append([Write(scaled(1, 3), first.seq)], cause("c2"))
    again = await log.append([Write(requested(1), 0)], cause("c1"))
    assert (again.seq, again.repeated) == (first.seq, True)
    assert (await log.position()).last_seq == 2


async def test_a_batch_is_kept_whole(log: EventLog) -> None:
    claim = NameClaimed(kind=Aggregate.DEPLOYMENT, name="d1", claimed_by=1)
    appended = await log.append([Write(claim, 0), Write(requested(1), 0)], cause("c1"))
    assert appended.seq == 2
    events = await read(log, 0, 2)
    assert [event.type for event in events] == ["NameClaimed", "DeploymentRequested"]
    assert [event.id for event in events] == ["c1/0", "c1/1"]


async def test_a_batch_with_one_conflict_keeps_nothing(log: EventLog) -> None:
    claim = NameClaimed(kind=Aggregate.DEPLOYMENT, name="d1", claimed_by=1)
    await log.append([Write(claim, 0), Write(requested(1), 0)], cause("c1"))
    taken = NameClaimed(kind=Aggregate.DEPLOYMENT, name="d1", claimed_by=2)
    with pytest.raises(Conflict) as refused:
        await log.append([Write(requested(2), 0), Write(taken, 0)], cause("c2"))
    assert refused.value.subject.startswith("name/")
    assert await log.load(Aggregate.DEPLOYMENT, "2") == []
    assert (await log.position()).last_seq == 2


async def test_a_repeated_batch_answers_with_the_first_result(log: EventLog) -> None:
    claim = NameClaimed(kind=Aggregate.DEPLOYMENT, name="d1", claimed_by=1)
    writes = [Write(claim, 0), Write(requested(1), 0)]
    first = await log.append(writes, cause("c1"))
    again = await log.append(writes, cause("c1"))
    assert (again.seq, again.repeated) == (first.seq, True)
    assert (await log.position()).last_seq == 2


async def test_only_one_of_many_concurrent_writers_wins(log: EventLog) -> None:
    results = await asyncio.gather(
        *(log.append([Write(requested(1), 0)], cause(f"c{n}")) for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, Conflict) for result in results) == 19
    assert (await log.position()).last_seq == 1


async def test_loading_continues_after_a_known_sequence(log: EventLog) -> None:
    await log.append([Write(requested(1), 0)], cause("c0"))
    await log.append([Write(requested(2), 0)], cause("other"))
    last = 1
    for n in range(1, 4):
        last = (await log.append([Write(scaled(1, n), last)], cause(f"c{n}"))).seq
    events = await log.load(Aggregate.DEPLOYMENT, "1", after=1)
    assert [event.data.replicas for event in events] == [1, 2, 3]
    assert await log.load(Aggregate.DEPLOYMENT, "9") == []
    assert await log.get(99) is None


async def test_a_follower_sees_everything_once_and_in_order(log: EventLog) -> None:
    for n in range(1, 31):
        await log.append([Write(requested(n), 0)], cause(f"c{n}"))
    reading = asyncio.create_task(read(log, 10, 60))
    for n in range(31, 61):
        await log.append([Write(requested(n), 0)], cause(f"c{n}"))
    assert [event.seq for event in await reading] == list(range(11, 61))


async def test_a_follower_survives_kill_9_of_the_server(own_nats_server: NatsServer) -> None:
    client = await nats.connect(
        own_nats_server.url, pending_size=0, max_reconnect_attempts=-1, reconnect_time_wait=0.05
    )
    await provision(client)
    log = NatsEventLog(client, timeout_s=10)
    reading = asyncio.create_task(read(log, 0, 40))
    for n in range(1, 41):
        if n in (10, 25):
            own_nats_server.kill()
            own_nats_server.start()
        await log.append([Write(requested(n), 0)], cause(f"c{n}"))
    events = await reading
    assert [event.seq for event in events] == list(range(1, 41))
    assert [event.id for event in events] == [f"c{n}/0" for n in range(1, 41)]
    await client.close()


async def test_without_a_server_an_append_says_so_and_leaves_no_ghost(own_nats_server: NatsServer) -> None:
    client = await nats.connect(
        own_nats_server.url, pending_size=0, max_reconnect_attempts=-1, reconnect_time_wait=0.05
    )
    await provision(client)
    own_nats_server.kill()
    with pytest.raises(LogUnavailable):
        await NatsEventLog(client, timeout_s=0.5).append([Write(requested(1), 0)], cause("c1"))
    own_nats_server.start()
    await own_nats_server.wait_until_ready()
    appended = await NatsEventLog(client, timeout_s=10).append([Write(requested(2), 0)], cause("c2"))
    assert appended.seq == 1
    await client.close()
