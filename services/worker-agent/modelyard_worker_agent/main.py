"""The composition root of the agent."""

import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version as installed_version

import httpx
import structlog
from modelyard_contracts.companions import models_of
from modelyard_contracts.deployments import Source
from modelyard_contracts.join import JoinAnswer
from modelyard_runtime.clock import new_id, now
from modelyard_runtime.health import Health, serve_health
from modelyard_runtime.logs import configure_logs
from modelyard_runtime.secrets import Sealer
from modelyard_runtime.settings import BadSettings, parse_settings
from modelyard_runtime.shutdown import ends_before, stop_signal
from modelyard_runtime.tracing import configure_traces
from modelyard_runtime.trust import trusting
from pydantic import SecretStr

from modelyard_worker_agent.adapters.accelerators import accelerators_of_this_machine
from modelyard_worker_agent.adapters.connections import TcpConnections
from modelyard_worker_agent.adapters.docker import Docker, DockerExecutor
from modelyard_worker_agent.adapters.gauge import Gauge
from modelyard_worker_agent.adapters.identity import IdentityFiles, StateInUse, held
from modelyard_worker_agent.adapters.joining import Joiner
from modelyard_worker_agent.adapters.logfiles import DownloadLogs, LogFiles
from modelyard_worker_agent.adapters.memory import ProcessMemory
from modelyard_worker_agent.adapters.model_facts import ModelFacts
from modelyard_worker_agent.adapters.models import Fetching, Hub, ModelStore
from modelyard_worker_agent.adapters.outbox import Outbox
from modelyard_worker_agent.adapters.probes import HttpProbe
from modelyard_worker_agent.adapters.processes import ProcessExecutor
from modelyard_worker_agent.adapters.programs import Programs
from modelyard_worker_agent.adapters.relay import Relay
from modelyard_worker_agent.adapters.run_files import RunFiles
from modelyard_worker_agent.domain.relaying import is_loopback
from modelyard_worker_agent.handlers.agent import Agent
from modelyard_worker_agent.handlers.machine import Limits, Machine
from modelyard_worker_agent.handlers.model_files import ModelFiles
from modelyard_worker_agent.handlers.renewal import AnotherWorker, Renewal
from modelyard_worker_agent.handlers.start_queue import StartQueue
from modelyard_worker_agent.ports import Executor, JoinRefused
from modelyard_worker_agent.settings import WorkerSettings
from modelyard_worker_agent.subscribers.link import Link, Presence

logger = structlog.stdlib.get_logger()

CLEAN_S = 3600.0
STRAYS_S = 5.0
RELAY_S = 1.0


def build_machine(
    settings: WorkerSettings, joined: JoinAnswer, agent: str, client: httpx.AsyncClient, programs: Programs
) -> tuple[Machine, Outbox, ModelStore]:
    outbox = Outbox(settings.worker_state / "outbox", joined.worker_id, now)
    files, sealer = RunFiles(settings.worker_state / "instances"), Sealer(joined.secret_key)
    models = ModelStore(
        settings.worker_state / "models",
        fetching_of(settings),
        ModelFacts(outbox, joined.worker_id),
        lambda: {model.model_id() for want in files.wants() for model in models_of(want.spec)},
    )
    accelerators = accelerators_of_this_machine()
    machine = Machine(
        worker_id=joined.worker_id,
        executor=executor_of(settings, joined.worker_id, agent),
        accelerators=accelerators,
        probe=HttpProbe(client, settings.probe_timeout_s),
        connections=TcpConnections(),
        models=models,
        memory=ProcessMemory(accelerators),
        programs=programs,
        reports=outbox,
        files=files,
        sealer=sealer,
        now=now,
        limits=Limits(
            start_timeout_s=settings.start_timeout_s,
            liveness_s=settings.liveness_s,
            probe_timeout_s=settings.probe_timeout_s,
            unready_failures=settings.unready_failures,
            liveness_failures=settings.liveness_failures,
            drain_s=settings.drain_s,
            vram_back_s=settings.vram_back_s,
            stop_grace_s=settings.stop_grace_s,
            measure_after_s=settings.measure_after_s,
            runs_kept=settings.log_runs_kept,
            address=settings.worker_address,
        ),
        starts=StartQueue(settings.starts_at_once or max(2, os.cpu_count() or 1)),
        relay=relay_of(settings, sealer),
    )
    return machine, outbox, models


def fetching_of(settings: WorkerSettings) -> Fetching:
    def hub(endpoint: str, token: SecretStr | None) -> Hub:
        return Hub(endpoint.rstrip("/"), token.get_secret_value() if token else None)

    return Fetching(
        hubs={
            Source.HUGGINGFACE: hub(settings.huggingface_endpoint, settings.huggingface_token),
            Source.MODEL_SCOPE: hub(settings.modelscope_endpoint, settings.modelscope_token),
        },
        quota_bytes=settings.model_disk_bytes,
        at_once=settings.downloads_at_once,
        proxy=settings.model_source_proxy,
    )


def relay_of(settings: WorkerSettings, sealer: Sealer) -> Relay | None:
    """None where gateways can only be on this machine. Raises `BadSettings`."""
    if settings.relay_port is None and is_loopback(settings.worker_address):
        return None
    port = settings.relay_port or 0
    relay = Relay(settings.worker_state / "relay", address=settings.worker_address, port=port, sealer=sealer)
    relay.keep()
    return relay


def executor_of(settings: WorkerSettings, worker_id: int, agent: str) -> Executor:
    if settings.executor == "process":
        return ProcessExecutor(settings.log_instance_bytes, agent)
    docker = Docker(settings.docker_socket, settings.docker_network, worker_id)
    return DockerExecutor(settings.log_instance_bytes, agent, docker)


async def run(settings: WorkerSettings) -> int:
    stop = stop_signal()
    identity = IdentityFiles(settings.worker_state)
    token = settings.join_token.get_secret_value() if settings.join_token else None
    joiner = Joiner(
        identity,
        api=settings.api,
        token=token,
        name=settings.worker_name,
        labels=settings.labels,
        trusted=trusting(settings.ca),
    )
    # the answer of an earlier join will do: the api need not be there for the agent to work
    joined = identity.joined()
    renewal = None if joined is None else Renewal(joiner.join, joined, now, asked=False)
    if renewal is None:
        joining = asyncio.create_task(joiner.join())
        if not await ends_before(stop, joining):
            return 0
        renewal = Renewal(joiner.join, joining.result(), now, asked=True)
    async with httpx.AsyncClient(trust_env=False) as client:
        programs = Programs(settings.backend_programs)
        machine, outbox, models = build_machine(
            settings, renewal.answer, identity.identity().worker_uuid, client, programs
        )
        agent = Agent(machine)
        agent.adopt()
        models.say_what_is_here()
        logger.info("worker is up", worker=renewal.answer.name, worker_id=renewal.answer.worker_id)
        working = asyncio.create_task(_work(settings, renewal, identity, agent, outbox, models, programs))
        broke = await ends_before(stop, working)
        await asyncio.gather(working, return_exceptions=True)
        await agent.leave(stop_servers=settings.stop_models_on_exit)
        if broke:
            working.result()
    return 0


async def _work(
    settings: WorkerSettings,
    renewal: Renewal,
    identity: IdentityFiles,
    agent: Agent,
    outbox: Outbox,
    models: ModelStore,
    programs: Programs,
) -> None:
    gauge = Gauge(agent.accelerators, agent.ours, now, models.downloads, models.disk_use, agent.starts)
    files = ModelFiles(models, agent.sealer)
    link = Link(
        presence=Presence(
            session=new_id(),
            address=settings.worker_address,
            agent_version=installed_version("modelyard"),
            reserved_ram_bytes=settings.reserved_ram_bytes,
            heartbeat_s=settings.heartbeat_s,
            inventory_s=settings.inventory_s,
            silent_after_s=settings.silent_after_s,
        ),
        renewal=renewal,
        identity=identity,
        agent=agent,
        files=files,
        outbox=outbox,
        logs=LogFiles(settings.worker_state / "instances"),
        download_logs=DownloadLogs(models.kept.log, models.is_coming),
        gauge=gauge,
        programs=programs,
        model_disk=models.disk,
        now=now,
        ca=settings.ca,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(link.run())
            tasks.create_task(renewal.run())
            tasks.create_task(gauge.run(settings.telemetry_s))
            tasks.create_task(_end_strays(agent))
            if agent.relay is not None:
                tasks.create_task(_keep(agent.relay))
            tasks.create_task(_clean(agent, settings.removed_logs_kept_s))
            if settings.worker_health_port:
                tasks.create_task(_serve_health(settings.worker_health_port, renewal, link))
    finally:
        await files.leave()


async def _keep(relay: Relay) -> None:
    while True:
        await asyncio.sleep(RELAY_S)
        await asyncio.to_thread(relay.keep)


async def _end_strays(agent: Agent) -> None:
    while True:
        await agent.end_strays()
        await asyncio.sleep(STRAYS_S)


async def _clean(agent: Agent, kept_s: float) -> None:
    while True:
        try:
            await agent.forget_removed(kept_s)
        except OSError as error:
            logger.warning("logs of removed instances cannot be ended", error=str(error))
        await asyncio.sleep(CLEAN_S)


async def _serve_health(port: int, renewal: Renewal, link: Link) -> None:
    def health() -> Health:
        trouble = renewal.trouble() or link.trouble()
        return Health(trouble is None, trouble or "connected to NATS")

    try:
        await serve_health("127.0.0.1", port, health)
    except OSError as error:
        raise BadSettings(f"--worker-health-port: cannot listen on {port}: {error}") from error


def main(argv: Sequence[str]) -> int:
    try:
        settings = parse_settings(WorkerSettings, argv, prog="modelyard worker")
        configure_traces("worker")
    except BadSettings as error:
        sys.stderr.write(f"modelyard worker: {error}\n")
        return 2
    configure_logs("worker", level=settings.log_level)
    code = 0
    try:
        with held(settings.worker_state):
            asyncio.run(run(settings))
    except* BadSettings as problems:
        code = _said(problems, 2)
    except* (JoinRefused, StateInUse, AnotherWorker) as problems:
        code = code or _said(problems, 1)
    return code


def _said(problems: BaseExceptionGroup[Exception], code: int) -> int:
    for problem in problems.exceptions:
        sys.stderr.write(f"modelyard worker: {problem}\n")
    return code
