"""What agents state becomes a fact only if it can be true."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from modelyard_contracts.base import Event
from modelyard_contracts.events import (
    InstanceFailed,
    InstanceRunning,
    InstanceStarting,
    InstanceStopped,
    WorkerReady,
)
from modelyard_contracts.messages import Observation
from modelyard_scheduler.subscribers.reacting import Scheduler
from modelyard_scheduler_cluster import Cluster
from modelyard_scheduler_world import (
    deleted,
    deployment,
    failed,
    lost,
    ready,
    running,
    silent,
    starting,
    stopped,
    worker,
)


@pytest.fixture
async def scheduler(cluster: Cluster) -> AsyncIterator[Scheduler]:
    """With instance 1 on worker 1."""
    await cluster.tell(*worker(1), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        yield scheduler


def observed(cluster: Cluster, event: Event, *, ident: str = "agent-1", **fields: Any) -> Observation:
    data = event.model_dump(mode="json")
    said = {
        "id": ident,
        "worker_id": data["worker_id"],
        "event_type": type(event).__name__,
        "version": event.version,
        "data": data,
        "observed_at": cluster.clock(),
        "correlation_id": "story",
        "causation_id": "want",
        "actor": "worker/1",
    }
    return Observation.model_validate({**said, **fields})


async def test_a_fact_is_kept_as_it_was_stated_under_the_agents_own_id(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    await scheduler.observe([observed(cluster, starting(ident=1), ident="agent-7")])
    kept = (await cluster.story())[-1]
    assert (kept.id, kept.actor, kept.source) == ("agent-7/0", "worker/1", "modelyard/worker-agent/1")
    assert kept.data == starting(ident=1)


async def test_an_observation_that_is_delivered_twice_is_kept_once(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    for _ in range(2):
        await scheduler.observe([observed(cluster, starting(ident=1))])
    assert len(await cluster.facts(InstanceStarting)) == 1


async def test_what_the_picture_lacks_is_looked_up_before_anything_is_refused(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    """Another scheduler may have admitted what this one builds on, a moment ago."""
    await cluster.tell(starting(ident=1))
    await scheduler.observe([observed(cluster, running(ident=1))])
    assert len(await cluster.facts(InstanceRunning)) == 1


@pytest.mark.parametrize(
    "event",
    [
        starting(1, ident=1),
        running(ident=1),
        starting(ident=9),
        starting(ident=1, worker_id=2),
        stopped(ident=1),
    ],
    ids=["an attempt to come", "not started", "no such instance", "not its worker", "not told to stop"],
)
async def test_what_cannot_be_true_is_not_kept(cluster: Cluster, scheduler: Scheduler, event: Event) -> None:
    before = (await cluster.log.position()).last_seq
    await scheduler.observe([observed(cluster, event)])
    assert (await cluster.log.position()).last_seq == before


@pytest.mark.parametrize(
    "fields",
    [
        {"worker_id": 2},
        {"event_type": "NoSuchEvent"},
        {"data": {"instance_id": "no number"}},
        {"event_type": "DeploymentDeleted", "data": {"deployment_id": 3, "name": "chat3"}},
    ],
    ids=["for another worker", "of no known type", "unreadable", "not an agent's to state"],
)
async def test_what_an_agent_may_not_state_is_not_kept(
    cluster: Cluster, scheduler: Scheduler, fields: dict[str, Any]
) -> None:
    before = (await cluster.log.position()).last_seq
    await scheduler.observe([observed(cluster, starting(ident=1), **fields)])
    assert (await cluster.log.position()).last_seq == before


async def test_a_failure_of_an_attempt_that_is_over_is_not_kept(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    await scheduler.observe([observed(cluster, starting(ident=1), ident="a")])
    await scheduler.observe([observed(cluster, failed(ident=1), ident="b")])
    await scheduler.restarts.restart(1)
    await scheduler.observe([observed(cluster, failed(ident=1), ident="c")])
    assert len(await cluster.facts(InstanceFailed)) == 1


async def test_an_agent_that_is_back_at_work_is_said_so_once_a_session(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    for number, session in enumerate(["s1", "s2", "s2"]):
        said = observed(cluster, ready(session=session), ident=f"agent-{number}")
        await scheduler.observe([said])
    assert [event.session for event in await cluster.facts(WorkerReady)] == ["s1", "s2"]


async def test_what_was_given_up_is_forgotten_once_its_worker_has_ended_it(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    await cluster.tell(starting(ident=1), running(ident=1), silent(), lost(), deleted())
    await scheduler.decider.feed.catch_up()
    await scheduler.instances.give_up(1)
    assert cluster.outside.wants[1, 1].state == "absent"
    await scheduler.observe([observed(cluster, stopped(ident=1))])
    assert cluster.outside.wants == {}
    assert await cluster.facts(InstanceStopped) == []
