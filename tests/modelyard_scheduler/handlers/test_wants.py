"""What the workers are told, when it is compared in full."""

from collections.abc import Awaitable, Callable

import pytest
from modelyard_contracts.messages import Want
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_scheduler_cluster import Cluster, Outside
from modelyard_scheduler_world import (
    deployment,
    lost,
    released,
    removed,
    running,
    silent,
    starting,
    stopped,
    stopping,
    worker,
)


class Interrupted(Outside):
    """Something happens while the first want is put."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def put(self, want: Want) -> None:
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            await happens()
        await super().put(want)


@pytest.fixture
def outside() -> Interrupted:
    return Interrupted()


@pytest.fixture
def cluster(outside: Interrupted) -> Cluster:
    return Cluster(InMemoryEventLog(), outside)


async def test_wants_that_were_lost_are_put_again(cluster: Cluster) -> None:
    await cluster.tell(*worker(), deployment(replicas=2))
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        before = dict(cluster.outside.wants)
        cluster.outside.wants.clear()
        await scheduler.wants.tell_all()
    assert cluster.outside.wants == before
    assert set(before) == {(1, 1), (1, 2)}


async def test_what_is_removed_while_the_wants_are_mended_is_not_wanted_again(
    cluster: Cluster, outside: Interrupted
) -> None:
    await cluster.tell(*worker(), deployment(replicas=2))
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        cluster.outside.wants.clear()

        async def meanwhile() -> None:
            await cluster.tell(stopping(2), stopped(ident=2), removed(2), released(2))
            await scheduler.decider.feed.catch_up()

        outside.meanwhile = meanwhile
        await scheduler.wants.tell_all()
    assert set(cluster.outside.wants) == {(1, 1)}


async def test_a_crash_before_the_worker_was_told_to_end_it_is_made_up_for(cluster: Cluster) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), running(ident=1))
        await cluster.tell(silent(), lost(), removed(1, worker_lost=True))
        await scheduler.wants.tell_all()
        assert cluster.outside.wants[1, 1].state == "absent"
        await scheduler.wants.tell_all()
    assert set(cluster.outside.wants) == {(1, 1)}, "kept until its worker says that nothing is left"
