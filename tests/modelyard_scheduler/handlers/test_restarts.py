"""What the scheduler states and tells after a failure."""

from modelyard_contracts.events import InstanceGivenUp, InstanceRestartScheduled
from modelyard_contracts.failures import FailureCause
from modelyard_scheduler_cluster import Cluster
from modelyard_scheduler_world import (
    SPEC,
    deletion_requested,
    deployment,
    failed,
    restart_scheduled,
    starting,
    worker,
)


async def test_a_scheduler_that_starts_anew_goes_on_counting_restarts(cluster: Cluster) -> None:
    """Between a failure and its restart everything but the log is forgotten."""
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        for attempt in range(3):
            await cluster.tell(starting(attempt, ident=1), failed(attempt, ident=1))
            await scheduler.decider.feed.catch_up()
            await scheduler.restarts.restart(1)
            cluster.clock.forward(400)
    delays = [event.delay_s for event in await cluster.facts(InstanceRestartScheduled)]
    assert delays == sorted(delays)
    assert delays[2] > 2 * delays[0]
    await cluster.tell(starting(3, ident=1), failed(3, ident=1))
    cluster.outside.alarms.clear()

    async with cluster.scheduler() as fresh:
        await fresh.restarts.restart(1)
        again = (await cluster.facts(InstanceRestartScheduled))[-1]
        assert (again.attempt, again.streak) == (4, 4)
        assert again.delay_s > delays[2]
        assert list(cluster.outside.alarms) == ["restart.1.4"]


async def test_a_timer_that_was_lost_is_harmless(cluster: Cluster) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), failed(ident=1))
        await scheduler.decider.feed.catch_up()
        await scheduler.restarts.restart(1)
        cluster.clock.forward(3600)
        await scheduler.wants.tell_all()
    want = cluster.outside.wants[1, 1]
    assert (want.state, want.attempt) == ("running", 1)


async def test_a_timer_of_an_earlier_attempt_starts_nothing(cluster: Cluster) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), failed(ident=1))
        await scheduler.decider.feed.catch_up()
        await scheduler.restarts.restart(1)
        await scheduler.restarts.start_again(1, attempt=7)
        assert cluster.outside.wants[1, 1].attempt == 0
        await scheduler.restarts.start_again(1, attempt=1)
        assert cluster.outside.wants[1, 1].attempt == 1


async def test_a_crash_before_the_timer_was_set_is_made_up_for(cluster: Cluster) -> None:
    """The restart is in the log, and is reacted to until it was."""
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        restart = restart_scheduled(ident=1)
        await cluster.tell(starting(ident=1), failed(ident=1), restart)
    async with cluster.scheduler() as fresh:
        await fresh.react([restart])
        assert cluster.outside.alarms == {"restart.1.1": restart.restart_at}
        assert cluster.outside.wants[1, 1].attempt == 0


async def test_a_restart_that_came_due_while_nobody_was_there_is_told_at_once(cluster: Cluster) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        restart = restart_scheduled(ident=1)
        await cluster.tell(starting(ident=1), failed(ident=1), restart)
    cluster.clock.forward(3600)
    async with cluster.scheduler() as fresh:
        await fresh.react([restart])
    assert cluster.outside.alarms == {}
    assert cluster.outside.wants[1, 1].attempt == 1


async def test_what_ended_with_its_worker_starts_again_at_once(cluster: Cluster) -> None:
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), failed(ident=1, cause=FailureCause.WORKER_STOPPED))
        await scheduler.decider.feed.catch_up()
        await scheduler.restarts.restart(1)
    [restart] = await cluster.facts(InstanceRestartScheduled)
    assert (restart.delay_s, restart.streak) == (0, 0)
    assert cluster.outside.wants[1, 1].attempt == 1


async def test_what_is_to_stay_failed_or_to_go_is_not_started_again(cluster: Cluster) -> None:
    once = SPEC.model_copy(update={"restart_on_error": False})
    await cluster.tell(*worker(), deployment(3, spec=once), deployment(4))
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await scheduler.instances.reconcile(4)
        theirs = failed(ident=2).model_copy(update={"deployment_id": 4})
        await cluster.tell(failed(ident=1), theirs, deletion_requested(2))
        await scheduler.decider.feed.catch_up()
        await scheduler.restarts.restart(1)
        await scheduler.restarts.restart(2)
        await scheduler.restarts.restart(1)
    assert await cluster.facts(InstanceRestartScheduled) == []
    assert cluster.outside.alarms == {}
    [given_up] = await cluster.facts(InstanceGivenUp)
    assert (given_up.instance_id, given_up.cause, given_up.failures) == (1, FailureCause.CRASHED, 1)


async def test_restarting_twice_schedules_one_restart(cluster: Cluster) -> None:
    """The reaction and a sweep may both come by."""
    await cluster.tell(*worker(), deployment())
    async with cluster.scheduler() as scheduler:
        await scheduler.instances.reconcile(3)
        await cluster.tell(starting(ident=1), failed(ident=1))
        await scheduler.decider.feed.catch_up()
        await scheduler.restarts.restart(1)
        await scheduler.restarts.restart(1)
    assert len(await cluster.facts(InstanceRestartScheduled)) == 1
