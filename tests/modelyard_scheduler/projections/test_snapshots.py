"""A scheduler starts from its last snapshot, or from the first event where that is not to be trusted."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_eventlog.restoring import remove_log
from modelyard_eventlog.snapshots import PART_BYTES, Snapshots
from modelyard_scheduler.projections import snapshots
from modelyard_scheduler.projections.feed import PictureFeed
from modelyard_scheduler.projections.snapshots import SnapshotKeeper
from modelyard_scheduler_cluster import Cluster
from modelyard_scheduler_world import deployment, requested, worker
from nats.aio.client import Client

Start = Callable[[], Awaitable[SnapshotKeeper]]


@pytest.fixture
async def cluster(own_nats: Client) -> Cluster:
    await provision(own_nats)
    cluster = Cluster(NatsEventLog(own_nats))
    await cluster.tell(*worker(), deployment(), requested(5))
    return cluster


@pytest.fixture
async def start(own_nats: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """As a scheduler starts: a snapshot is looked for, then the log is followed."""
    monkeypatch.setattr(snapshots, "EVERY", 1)
    tasks: list[asyncio.Task[None]] = []

    async def started() -> SnapshotKeeper:
        log = NatsEventLog(own_nats)
        feed = PictureFeed(log)
        keeper = SnapshotKeeper(feed, log, Snapshots(own_nats, "scheduler"))
        await keeper.restore()
        tasks.append(asyncio.create_task(feed.run()))
        await feed.catch_up()
        return keeper

    yield started
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_it_goes_on_from_the_last_snapshot(cluster: Cluster, start: Start) -> None:
    first = await start()
    assert first.position == 0
    await first.keep()
    await cluster.tell(requested(6))
    again = await start()
    assert (again.position, again.feed.picture.position) == (5, 6)
    assert sorted(again.feed.picture.instances) == [5, 6]
    await first.feed.catch_up()
    assert first.feed.picture.instances == again.feed.picture.instances


async def test_what_other_code_folded_is_left_alone(
    cluster: Cluster, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await start()).keep()
    monkeypatch.setattr(snapshots, "code_version", lambda: "another")
    again = await start()
    assert (again.position, again.feed.picture.position) == (0, 5)


async def test_a_snapshot_of_a_log_that_is_gone_is_left_alone(
    cluster: Cluster, start: Start, own_nats: Client
) -> None:
    await (await start()).keep()
    await remove_log(own_nats)
    await cluster.tell(*worker(2))
    again = await start()
    assert (again.position, list(again.feed.picture.workers)) == (0, [2])


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"{}\n", b'{"code": 1}\n' + zlib.compress(b"[]")])
async def test_a_damaged_snapshot_is_left_alone(
    cluster: Cluster, start: Start, own_nats: Client, damage: bytes
) -> None:
    await Snapshots(own_nats, "scheduler").write(damage)
    again = await start()
    assert (again.position, again.feed.picture.position) == (0, 5)


async def test_a_large_snapshot_is_kept_in_parts_that_come_and_go_together(own_nats: Client) -> None:
    await provision(own_nats)
    shelf = Snapshots(own_nats, "scheduler")
    assert await shelf.read() is None
    large = bytes(range(256)) * (3 * PART_BYTES // 256) + b"end"
    for data in (large, large[: PART_BYTES + 1], b"small"):
        await shelf.write(data)
        assert await shelf.read() == data
    await shelf.write(large)
    await own_nats.jetstream().publish("snapshot.scheduler.1", b"another")
    assert await shelf.read() is None
