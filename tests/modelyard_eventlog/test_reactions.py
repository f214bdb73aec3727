"""FastStream, as we set it up, against a real server."""

import asyncio
from datetime import UTC, datetime, timedelta

import nats
from conftest import NatsServer
from modelyard_contracts.messages import Heartbeat
from modelyard_eventlog import subjects
from modelyard_eventlog.heartbeats import Heartbeats
from modelyard_eventlog.provision import provision
from modelyard_eventlog.reactions import Reactions
from modelyard_eventlog.timers import Timers
from modelyard_eventlog.wire import encode
from modelyard_runtime.settings import NatsSettings
from nats.aio.client import Client
from waiting import until


class Seen:
    """Keeps what a handler got, and fails the first tries of one timer if asked to."""

    def __init__(self, fail_on: str = "", times: int = 0) -> None:
        self.names: list[str] = []
        self.failures = times
        self.fail_on = fail_on

    async def on_timer(self, name: str) -> None:
        if name == self.fail_on and self.failures:
            self.failures -= 1
            raise RuntimeError("not yet")
        self.names.append(name)


async def fired(client: Client, name: str) -> None:
    """As the server says it when the time has come."""
    await client.jetstream().publish(subjects.timer_fired(name), b"")


async def test_a_handler_that_raises_gets_the_timer_again_and_order_is_kept(
    own_nats_server: NatsServer,
) -> None:
    client = await nats.connect(own_nats_server.url, pending_size=0)
    await provision(client)
    before = (await client.jetstream().stream_info(subjects.TIMERS)).config
    seen = Seen(fail_on="2", times=2)
    reactions = Reactions(NatsSettings(nats=own_nats_server.url), name="test")
    reactions.on_timers(seen.on_timer)
    await reactions.start()
    for n in range(1, 6):
        await fired(client, str(n))
    await until(lambda: len(seen.names) == 5)
    assert seen.names == ["1", "2", "3", "4", "5"]
    assert (await client.jetstream().stream_info(subjects.TIMERS)).config == before
    await reactions.stop()
    await client.close()


async def test_a_restarted_service_goes_on_where_it_stood(own_nats_server: NatsServer) -> None:
    client = await nats.connect(own_nats_server.url, pending_size=0)
    await provision(client)
    for first in (1, 4):
        for n in range(first, first + 3):
            await fired(client, str(n))
        seen = Seen()
        reactions = Reactions(NatsSettings(nats=own_nats_server.url), name="test")
        reactions.on_timers(seen.on_timer)
        await reactions.start()
        await until(lambda seen=seen: len(seen.names) == 3)  # type: ignore[misc]
        assert seen.names == [str(n) for n in range(first, first + 3)]
        await reactions.stop()
    await client.close()


async def test_a_consumer_deleted_under_it_is_made_anew(own_nats_server: NatsServer) -> None:
    client = await nats.connect(own_nats_server.url, pending_size=0)
    await provision(client)
    seen = Seen()
    reactions = Reactions(NatsSettings(nats=own_nats_server.url), name="test")
    reactions.on_timers(seen.on_timer)
    await reactions.start()
    await fired(client, "1")
    await until(lambda: seen.names == ["1"])
    await client.jetstream().delete_consumer(subjects.TIMERS, "test-timers")
    await until(lambda: not reactions.healthy())
    await fired(client, "2")
    await until(lambda: "2" in seen.names)
    await until(reactions.healthy)
    await reactions.stop()
    await client.close()


async def test_timers_and_heartbeats_reach_their_handlers(own_nats_server: NatsServer) -> None:
    """And still do after kill -9 of the server, though it forgets what it held in memory."""
    client = await nats.connect(
        own_nats_server.url, pending_size=0, max_reconnect_attempts=-1, reconnect_time_wait=0.05
    )
    rung: list[str] = []
    beats: list[int] = []

    async def on_timer(name: str) -> None:
        rung.append(name)

    async def on_heartbeat(heartbeat: Heartbeat) -> None:
        beats.append(heartbeat.worker_id)

    reactions = Reactions(NatsSettings(nats=own_nats_server.url), name="test")
    reactions.on_timers(on_timer)
    reactions.on_heartbeats(on_heartbeat)
    await reactions.start()
    heartbeat = Heartbeat(worker_id=7, session="a", sent_at=datetime.now(UTC))
    await client.publish(subjects.heartbeat(6), b"no heartbeat", headers={"Nats-TTL": "5s"})
    await client.publish(subjects.heartbeat(6), encode(heartbeat), headers={"Nats-TTL": "5s"})
    await Heartbeats(client, ttl_s=1).beat(heartbeat)
    await Timers(client).set("restart.1.2", datetime.now(UTC) + timedelta(seconds=0.3))
    await until(lambda: beats == [7] and rung == ["restart.1.2"])

    await Timers(client).set("restart.1.3", datetime.now(UTC) + timedelta(seconds=1))
    own_nats_server.kill()
    own_nats_server.start()
    await own_nats_server.wait_until_ready()
    await until(lambda: client.is_connected)
    async with asyncio.timeout(30):
        while len(beats) < 2:
            await Heartbeats(client, ttl_s=1).beat(heartbeat)
            await asyncio.sleep(0.1)
    await until(lambda: "restart.1.3" in rung)
    await reactions.stop()
    await client.close()
