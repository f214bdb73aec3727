"""FastStream, as we set it up, against a real server."""

import asyncio
from datetime import UTC, datetime, timedelta

import nats
from conftest import NatsServer
from modelyard_contracts.messages import Heartbeat
from modelyard_eventlog import subjects
from modelyard_eventlog.heartbeats import Heartbeats
from modelyard_eventlog.log import AnyRecorded, Write
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_eventlog.reactions import Reactions
from modelyard_eventlog.timers import Timers
from modelyard_eventlog_cases import cause, requested
from modelyard_runtime.settings import NatsSettings
from waiting import until


class Seen:
    """Keeps what a handler got, and fails the first tries of one event if asked to."""

    def __init__(self, fail_on: int = 0, times: int = 0) -> None:
        self.seqs: list[int] = []
        self.failures = times
        self.fail_on = fail_on

    async def on_event(self, event: AnyRecorded) -> None:
        if event.seq == self.fail_on and self.failures:
            self.failures -= 1
            raise RuntimeError("not yet")
        self.seqs.append(event.seq)


async def test_a_handler_that_raises_gets_the_event_again_and_order_is_kept(
    own_nats_server: NatsServer,
) -> None:
    client = await nats.connect(own_nats_server.url, pending_size=0)
    await provision(client)
    before = (await client.jetstream().stream_info(subjects.EVT)).config
    log = NatsEventLog(client)
    seen = Seen(fail_on=2, times=2)
    reactions = Reactions(NatsSettings(nats=own_nats_server.url), name="test")
    reactions.on_events(seen.on_event)
    await reactions.start()
    for n in range(1, 6):
        await log.append([Write(requested(n), 0)], cause(f"c{n}"))
    await until(lambda: len(seen.seqs) == 5)
    assert seen.seqs == [1, 2, 3, 4, 5]
    assert (await client.jetstream().stream_info(subjects.EVT)).config == before
    await reactions.stop()
    await client.close()


async def test_a_restarted_service_goes_on_where_it_stood(own_nats_server: NatsServer) -> None:
    client = await nats.connect(own_nats_server.url, pending_size=0)
    await provision(client)
    log = NatsEventLog(client)
    for n in range(1, 7):
        await log.append([Write(requested(n), 0)], cause(f"c{n}"))
        if n % 3:
            continue
        seen = Seen()
        reactions = Reactions(NatsSettings(nats=own_nats_server.url), name="test")
        reactions.on_events(seen.on_event)
        await reactions.start()
        await until(lambda seen=seen: len(seen.seqs) == 3)  # type: ignore[misc]
        assert seen.seqs == [n - 2, n - 1, n]
        await reactions.stop()
    await client.close()


async def test_a_consumer_deleted_under_it_is_made_anew(own_nats_server: NatsServer) -> None:
    client = await nats.connect(own_nats_server.url, pending_size=0)
    await provision(client)
    log = NatsEventLog(client)
    seen = Seen()
    reactions = Reactions(NatsSettings(nats=own_nats_server.url), name="test")
    reactions.on_events(seen.on_event)
    await reactions.start()
    await log.append([Write(requested(1), 0)], cause("c1"))
    await until(lambda: seen.seqs == [1])
    await client.jetstream().delete_consumer(subjects.EVT, "test-events")
    await until(lambda: not reactions.healthy())
    await log.append([Write(requested(2), 0)], cause("c2"))
    await until(lambda: 2 in seen.seqs)
    await until(reactions.healthy)
    await reactions.stop()
    await client.close()


async def test_timers_heartbeats_and_silence_reach_their_handlers(own_nats_server: NatsServer) -> None:
    """And still do after kill -9 of the server, though it forgets what it held in memory."""
    client = await nats.connect(
        own_nats_server.url, pending_size=0, max_reconnect_attempts=-1, reconnect_time_wait=0.05
    )
    fired: list[str] = []
    beats: list[tuple[int, bool]] = []

    async def on_timer(name: str) -> None:
        fired.append(name)

    async def on_heartbeat(worker_id: int, heartbeat: Heartbeat | None) -> None:
        beats.append((worker_id, heartbeat is not None))

    reactions = Reactions(NatsSettings(nats=own_nats_server.url), name="test")
    reactions.on_timers(on_timer)
    reactions.on_heartbeats(on_heartbeat)
    await reactions.start()
    heartbeat = Heartbeat(worker_id=7, session="a", sent_at=datetime.now(UTC))
    await client.publish(subjects.heartbeat(6), b"no heartbeat", headers={"Nats-TTL": "5s"})
    await Heartbeats(client, ttl_s=1).beat(heartbeat)
    await Timers(client).set("restart.1.2", datetime.now(UTC) + timedelta(seconds=0.3))
    await until(lambda: beats == [(7, True), (7, False)] and fired == ["restart.1.2"])

    await Timers(client).set("restart.1.3", datetime.now(UTC) + timedelta(seconds=1))
    own_nats_server.kill()
    own_nats_server.start()
    await own_nats_server.wait_until_ready()
    await until(lambda: client.is_connected)
    async with asyncio.timeout(30):
        while len(beats) < 3:
            await Heartbeats(client, ttl_s=1).beat(heartbeat)
            await asyncio.sleep(0.1)
    await until(lambda: "restart.1.3" in fired)
    await reactions.stop()
    await client.close()
