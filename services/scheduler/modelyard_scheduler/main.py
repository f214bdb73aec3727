"""The composition root of the scheduler."""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
import uvloop
from modelyard_contracts.envelope import UnknownEventType
from modelyard_contracts.explanations import ExplainQuestion
from modelyard_eventlog.connection import connect
from modelyard_eventlog.desired import DesiredState
from modelyard_eventlog.leases import Lease
from modelyard_eventlog.log import Conflict, LogUnavailable
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.observations import Observations
from modelyard_eventlog.provision import StreamRefused, provision
from modelyard_eventlog.questions import SCHEDULER, Questions
from modelyard_eventlog.reactions import Reactions
from modelyard_eventlog.reader import Gap
from modelyard_eventlog.snapshots import Snapshots
from modelyard_eventlog.timers import Timers
from modelyard_models.sources.catalogue import Catalogue
from modelyard_runtime.clock import new_id, now
from modelyard_runtime.health import Health, serve_health
from modelyard_runtime.logs import configure_logs
from modelyard_runtime.secrets import Sealer
from modelyard_runtime.settings import BadSettings, parse_settings
from modelyard_runtime.shutdown import ends_before, stop_signal
from modelyard_runtime.tracing import configure_traces
from nats.aio.client import Client

from modelyard_scheduler.adapters.models import ModelSources
from modelyard_scheduler.adapters.paths import WorkerPaths
from modelyard_scheduler.domain.fleet import FleetPolicy, Presence
from modelyard_scheduler.domain.restart import RestartPolicy
from modelyard_scheduler.handlers.admission import Admission
from modelyard_scheduler.handlers.deciding import Decider
from modelyard_scheduler.handlers.explaining import ExplainHandler
from modelyard_scheduler.handlers.fleet import FleetHandler
from modelyard_scheduler.handlers.inspection import InspectionHandler
from modelyard_scheduler.handlers.instances import InstanceHandler
from modelyard_scheduler.handlers.model_files import ModelFileHandler
from modelyard_scheduler.handlers.placement import PlacementHandler
from modelyard_scheduler.handlers.restarts import RestartHandler
from modelyard_scheduler.handlers.wants import WantsHandler
from modelyard_scheduler.projections.feed import PictureFeed
from modelyard_scheduler.projections.snapshots import SnapshotKeeper
from modelyard_scheduler.settings import SchedulerSettings
from modelyard_scheduler.subscribers.reacting import Scheduler
from modelyard_scheduler.subscribers.work import Work

logger = structlog.stdlib.get_logger()

RETRY_S = 0.5
WATCH_S = 2.0
SNAPSHOT_LOOK_S = 5.0


def build(settings: SchedulerSettings, nc: Client, at_work: Callable[[], bool]) -> Scheduler:
    log = NatsEventLog(nc)
    decider = Decider(log, PictureFeed(log), now)
    desired = DesiredState(nc)
    fleet_policy = FleetPolicy(
        silent_after_s=settings.silent_after_s,
        grace_s=settings.worker_grace_s,
        max_lost_share=settings.max_lost_share,
    )
    restart_policy = RestartPolicy(
        base_s=settings.restart_base_s, max_s=settings.restart_max_s, reset_s=settings.restart_reset_s
    )
    questions = Questions(nc)
    paths = WorkerPaths(questions, timeout_s=settings.path_question_s)
    sources = ModelSources(
        Catalogue(settings), questions, sealer_of(settings), path_question_s=settings.path_question_s
    )
    inspections = InspectionHandler(decider, sources)
    wants = WantsHandler(decider, desired)
    placement = PlacementHandler(decider, wants, paths, inspections)
    scheduler = Scheduler(
        decider=decider,
        instances=InstanceHandler(decider, placement, wants),
        placement=placement,
        restarts=RestartHandler(decider, wants, Timers(nc), restart_policy),
        wants=wants,
        admission=Admission(decider, desired),
        fleet=FleetHandler(decider, Presence(now()), fleet_policy, lambda: nc.is_connected, at_work),
        files=ModelFileHandler(decider, desired),
        failed_grace_s=settings.failed_grace_s,
    )
    inspections.after = scheduler.place_waiting
    return scheduler


def sealer_of(settings: SchedulerSettings) -> Sealer | None:
    """Raises `BadSettings`."""
    try:
        return Sealer(settings.secret_key.get_secret_value()) if settings.secret_key else None
    except ValueError as error:
        raise BadSettings(f"--secret-key (MODELYARD_SECRET_KEY): {error}") from error


class Watchdog:
    """Says whether the scheduler follows the log: what it reports is only as good as its picture."""

    def __init__(self, scheduler: Scheduler, reactions: Reactions) -> None:
        self._feed = scheduler.decider.feed
        self._reactions = reactions
        self._problem: str | None = "has not caught up with the log yet"

    def health(self) -> Health:
        problem = self._problem
        if problem is None and not self._reactions.healthy():
            problem = "a consumer makes no progress"
        return Health(ok=problem is None, detail=problem or "follows the log")

    async def watch(self) -> None:
        """A lag is a problem if the picture does not move while there is one."""
        position = -1
        while True:
            try:
                lag = await self._feed.lag()
            except LogUnavailable as error:
                self._problem = str(error)
            else:
                stuck = lag > 0 and self._feed.picture.position == position
                self._problem = f"lacks {lag} events and makes no progress" if stuck else None
                position = self._feed.picture.position
            await asyncio.sleep(WATCH_S)


async def run(settings: SchedulerSettings) -> int:
    stop = stop_signal()
    working = asyncio.create_task(_work(settings))
    if await ends_before(stop, working):
        working.result()
        return 1
    await asyncio.gather(working, return_exceptions=True)
    return 0


async def _work(settings: SchedulerSettings) -> None:
    nc = await connect(settings, name="modelyard-scheduler")
    try:
        await _again(lambda: provision(nc))
        scheduler = build(settings, nc, lambda: work.at_work)
        work = Work(scheduler, Lease(nc, "scheduler", new_id()), Observations(nc), settings.reconcile_s)
        reactions = Reactions(settings, name="scheduler")
        reactions.on_timers(scheduler.on_timer)
        reactions.on_heartbeats(scheduler.on_heartbeat)
        watchdog = Watchdog(scheduler, reactions)
        feed = scheduler.decider.feed
        keeper = SnapshotKeeper(feed, scheduler.decider.log, Snapshots(nc, "scheduler"))
        async with asyncio.TaskGroup() as tasks:
            if settings.scheduler_health_port:
                tasks.create_task(_serve_health(settings.scheduler_health_port, watchdog))
            with no_collection():
                await _again(keeper.restore)
                tasks.create_task(feed.run())
                await _again(feed.catch_up)
            logger.info("scheduler is up", position=scheduler.decider.picture.position)
            tasks.create_task(watchdog.watch())
            await reactions.start()
            explaining = ExplainHandler(scheduler.placement)
            await Questions(nc).answer(SCHEDULER, "explain", ExplainQuestion, explaining.explain)
            tasks.create_task(work.run())
            # not earlier: nobody is silent to one who does not listen yet
            tasks.create_task(_every(settings.presence_s, scheduler.look))
            tasks.create_task(_every(SNAPSHOT_LOOK_S, keeper.keep))
            try:
                await asyncio.Event().wait()
            finally:
                await work.release()
                await reactions.stop()
    finally:
        await nc.close()


@contextmanager
def no_collection() -> Iterator[None]:
    """What is read at the start stays: to look for garbage in it takes longer than to read it."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


async def _serve_health(port: int, watchdog: Watchdog) -> None:
    try:
        await serve_health("127.0.0.1", port, watchdog.health)
    except OSError as error:
        raise BadSettings(f"--scheduler-health-port: cannot listen on {port}: {error}") from error


async def _again(work: Callable[[], Awaitable[None]]) -> None:
    """Until the log answers."""
    while True:
        try:
            await work()
        except LogUnavailable as error:
            logger.warning("waiting for the log", error=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except (LogUnavailable, Conflict) as error:
            logger.warning("will be tried again", error=str(error))
        await asyncio.sleep(seconds)


def main(argv: Sequence[str]) -> int:
    try:
        settings = parse_settings(SchedulerSettings, argv, prog="modelyard scheduler")
        configure_traces("scheduler")
        sealer_of(settings)
    except BadSettings as error:
        sys.stderr.write(f"modelyard scheduler: {error}\n")
        return 2
    configure_logs("scheduler", level=settings.log_level)
    code = 0
    try:
        uvloop.run(run(settings))
    except* BadSettings as problems:
        code = _said(problems, 2)
    except* (UnknownEventType, Gap, StreamRefused) as problems:
        code = code or _said(problems, 1)
    return code


def _said(problems: BaseExceptionGroup[Exception], code: int) -> int:
    for problem in problems.exceptions:
        sys.stderr.write(f"modelyard scheduler: {problem}\n")
    return code
