"""The composition root of the agent."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version as installed_version
from typing import TypeVar

import httpx
import structlog
from modelyard_contracts.events import WorkerInventoryChanged, WorkerReady
from modelyard_contracts.join import JoinAnswer
from modelyard_contracts.messages import Heartbeat, LogQuestion, PathQuestion
from modelyard_eventlog.connection import connect
from modelyard_eventlog.credentials import worker_inbox_prefix
from modelyard_eventlog.desired import DesiredState
from modelyard_eventlog.heartbeats import Heartbeats
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.observations import Observations
from modelyard_eventlog.questions import Questions
from modelyard_runtime.clock import new_id, now
from modelyard_runtime.logs import configure_logs
from modelyard_runtime.secrets import Sealer
from modelyard_runtime.settings import BadSettings, NatsSettings, parse_settings
from modelyard_runtime.shutdown import ends_before, stop_signal

from modelyard_worker_agent.adapters.identity import IdentityFiles, StateInUse, held
from modelyard_worker_agent.adapters.inventory import take_inventory
from modelyard_worker_agent.adapters.joining import Joiner, JoinRefused
from modelyard_worker_agent.adapters.local_models import answer_path
from modelyard_worker_agent.adapters.logfiles import LogFiles
from modelyard_worker_agent.adapters.models import ModelStore
from modelyard_worker_agent.adapters.outbox import Outbox
from modelyard_worker_agent.adapters.probes import HttpProbe
from modelyard_worker_agent.adapters.processes import ProcessExecutor
from modelyard_worker_agent.adapters.run_files import RunFiles
from modelyard_worker_agent.handlers.agent import Agent
from modelyard_worker_agent.handlers.supervisor import Limits, Machine
from modelyard_worker_agent.settings import WorkerSettings

logger = structlog.stdlib.get_logger()

T = TypeVar("T")

INVENTORY_S = 60.0
CLEAN_S = 3600.0
RENEW_LEAST_S = 60.0
DAY_S = 24 * 3600.0


def build_machine(
    settings: WorkerSettings, joined: JoinAnswer, client: httpx.AsyncClient
) -> tuple[Machine, Outbox]:
    outbox = Outbox(settings.worker_state / "outbox", joined.worker_id, now)
    machine = Machine(
        worker_id=joined.worker_id,
        executor=ProcessExecutor(settings.log_instance_bytes),
        probe=HttpProbe(client),
        models=ModelStore(settings.worker_state / "models"),
        reports=outbox,
        files=RunFiles(settings.worker_state / "instances"),
        sealer=Sealer(joined.secret_key),
        now=now,
        limits=Limits(
            start_timeout_s=settings.start_timeout_s,
            liveness_s=settings.liveness_s,
            liveness_failures=settings.liveness_failures,
            stop_grace_s=settings.stop_grace_s,
            runs_kept=settings.log_runs_kept,
            host=settings.model_server_host,
            address=settings.worker_address,
        ),
    )
    return machine, outbox


async def run(settings: WorkerSettings) -> int:
    stop = stop_signal()
    identity = IdentityFiles(settings.worker_state)
    token = settings.join_token.get_secret_value() if settings.join_token else None
    joiner = Joiner(
        identity, api=settings.api, token=token, name=settings.worker_name, labels=settings.labels
    )
    joining = asyncio.create_task(_join_once(identity, joiner))
    if not await ends_before(stop, joining):
        return 0
    joined = joining.result()
    async with httpx.AsyncClient(trust_env=False) as client:
        machine, outbox = build_machine(settings, joined, client)
        agent = Agent(machine)
        agent.adopt()
        logger.info("worker is up", worker=joined.name, worker_id=joined.worker_id)
        connected = asyncio.create_task(_stay_connected(settings, joined, identity, agent, outbox))
        renewing = asyncio.create_task(_renew(joiner, joined))
        cleaning = asyncio.create_task(_clean(agent, settings.removed_logs_kept_s))
        broke = await ends_before(stop, connected)
        for task in (connected, renewing, cleaning):
            task.cancel()
        await asyncio.gather(connected, renewing, cleaning, return_exceptions=True)
        await agent.leave(stop_servers=settings.stop_models_on_exit)
        if broke:
            connected.result()
    return 0


async def _join_once(identity: IdentityFiles, joiner: Joiner) -> JoinAnswer:
    """The answer of an earlier join will do: the api need not be there for the agent to work."""
    return identity.joined() or await joiner.join()


async def _stay_connected(
    settings: WorkerSettings, joined: JoinAnswer, identity: IdentityFiles, agent: Agent, outbox: Outbox
) -> None:
    nats = NatsSettings(
        nats=joined.nats_url, nats_credentials=identity.credentials if joined.nats_jwt else None
    )
    prefix = worker_inbox_prefix(joined.worker_id)
    nc = await connect(nats, name=f"modelyard-worker-{joined.worker_id}", inbox_prefix=prefix)
    session = new_id()
    ready = WorkerReady(
        worker_id=joined.worker_id,
        address=settings.worker_address,
        agent_version=installed_version("modelyard"),
        session=session,
    )
    questions = Questions(nc)
    logs = LogFiles(settings.worker_state / "instances")
    await questions.answer(joined.worker_id, "path", PathQuestion, answer_path)
    await questions.answer(joined.worker_id, "logs", LogQuestion, logs.answer)
    outbox.say_of_worker(ready, ident=f"obs/{joined.worker_id}/{session}/WorkerReady")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outbox.send(Observations(nc)))
            tasks.create_task(_beat(Heartbeats(nc, ttl_s=settings.silent_after_s), joined, session, settings))
            tasks.create_task(_watch_inventory(outbox, joined, session, settings))
            tasks.create_task(agent.follow(DesiredState(nc).follow(joined.worker_id)))
    finally:
        await nc.close()


async def _beat(heartbeats: Heartbeats, joined: JoinAnswer, session: str, settings: WorkerSettings) -> None:
    while True:
        try:
            await heartbeats.beat(Heartbeat(worker_id=joined.worker_id, session=session, sent_at=now()))
        except LogUnavailable as error:
            logger.debug("no heartbeat", error=str(error))
        await asyncio.sleep(settings.heartbeat_s)


async def _watch_inventory(
    outbox: Outbox, joined: JoinAnswer, session: str, settings: WorkerSettings
) -> None:
    """States what the machine has at each start of the agent, and whenever that changes."""
    said = None
    number = 0
    while True:
        inventory = await asyncio.to_thread(take_inventory, reserved_ram_bytes=settings.reserved_ram_bytes)
        if inventory != said:
            number += 1
            outbox.say_of_worker(
                WorkerInventoryChanged(worker_id=joined.worker_id, inventory=inventory),
                ident=f"obs/{joined.worker_id}/{session}/WorkerInventoryChanged/{number}",
            )
            said = inventory
        await asyncio.sleep(INVENTORY_S)


async def _clean(agent: Agent, kept_s: float) -> None:
    while True:
        try:
            await agent.forget_removed(kept_s)
        except OSError as error:
            logger.warning("logs of removed instances cannot be ended", error=str(error))
        await asyncio.sleep(CLEAN_S)


async def _renew(joiner: Joiner, joined: JoinAnswer) -> None:
    """Joins again at half the life of the NATS credentials, or of a day: addresses change too. An agent that
    starts with credentials that are no good any more does so at once."""
    answer = joined
    while True:
        await asyncio.sleep(renewal_in_s(answer.nats_jwt_expires_at, now()))
        try:
            answer = await joiner.join()
        except JoinRefused as error:
            logger.error("the api does not renew this worker's credentials", error=str(error))
            await asyncio.sleep(RENEW_LEAST_S)


def renewal_in_s(expires_at: datetime | None, moment: datetime) -> float:
    """0 once they have expired, never so often as to be a burden before."""
    left_s = DAY_S if expires_at is None else (expires_at - moment).total_seconds()
    return max(left_s / 2, RENEW_LEAST_S) if left_s > 0 else 0.0


def main(argv: Sequence[str]) -> int:
    try:
        settings = parse_settings(WorkerSettings, argv, prog="modelyard worker")
    except BadSettings as error:
        sys.stderr.write(f"modelyard worker: {error}\n")
        return 2
    configure_logs("worker", level=settings.log_level)
    try:
        with held(settings.worker_state):
            return asyncio.run(run(settings))
    except (JoinRefused, StateInUse) as error:
        sys.stderr.write(f"modelyard worker: {error}\n")
        return 1
