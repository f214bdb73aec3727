"""A worker's machine for tests: a real agent in a process of its own, real NATS, real llama.cpp."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from modelyard_contracts.base import Contract
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.join import JoinAnswer
from modelyard_contracts.messages import LogAnswer, LogQuestion, Observation, Want
from modelyard_eventlog.desired import DesiredState
from modelyard_eventlog.provision import provision
from modelyard_eventlog.questions import Questions
from modelyard_runtime.secrets import Sealer
from nats.aio.client import Client
from nats.aio.msg import Msg
from waiting import until

WORKER = 3
FAST = {
    "MODELYARD_HEARTBEAT_S": "0.2",
    "MODELYARD_SILENT_AFTER_S": "2",
    "MODELYARD_LIVENESS_S": "0.1",
    "MODELYARD_LIVENESS_FAILURES": "3",
    "MODELYARD_PROBE_TIMEOUT_S": "0.5",
    "MODELYARD_STOP_GRACE_S": "3",
    "MODELYARD_START_TIMEOUT_S": "30",
}


def spec_of(path: Path | str, *parameters: str, env: dict[str, str] | None = None) -> DeploymentSpec:
    return DeploymentSpec(
        source=Source.LOCAL_PATH,
        local_path=str(path),
        backend_parameters=("--ctx-size", "256", "--threads", "1", *parameters),
        env=env or {},
    )


def want(spec: DeploymentSpec, *, instance: int = 17, state: str = "running", attempt: int = 0) -> Want:
    return Want.model_validate(
        {
            "instance_id": instance,
            "deployment_id": 5,
            "worker_id": WORKER,
            "name": f"chat-{instance}",
            "deployment_name": "chat",
            "state": state,
            "attempt": attempt,
            "spec": spec,
            "correlation_id": "command-1",
            "actor": "user/1",
        }
    )


@dataclass
class Machine:
    """A state directory, the agents that run on it one after the other, and the control plane's side."""

    state: Path
    nats_url: str
    nc: Client
    worker_id: int = WORKER
    sealer_key: str = field(default_factory=Sealer.new_key)
    observations: list[Observation] = field(default_factory=list)
    agent: "subprocess.Popen[bytes] | None" = None
    agents: int = 0

    async def prepare(self) -> None:
        """Streams, and the answer of an earlier join, so that no api is needed."""
        await provision(self.nc)
        self.state.mkdir(parents=True)
        joined = JoinAnswer(
            worker_id=self.worker_id, name="box", nats_url=self.nats_url, secret_key=self.sealer_key
        )
        (self.state / "joined.json").write_text(joined.model_dump_json())
        await self.listen()

    async def listen(self) -> None:
        """Everything observed since the stream was made, in order, and what comes."""

        async def heard(message: Msg) -> None:
            self.observations.append(Observation.model_validate_json(message.data))

        await self.nc.jetstream().subscribe("obs.>", stream="OBS", cb=heard, ordered_consumer=False)

    def start_agent(self, **env: str) -> "subprocess.Popen[bytes]":
        self.agents += 1
        with (self.state.parent / f"agent-{self.agents}.log").open("ab") as log:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "modelyard_worker_agent"],
                env={
                    **os.environ,
                    **FAST,
                    "MODELYARD_WORKER_STATE": str(self.state),
                    "MODELYARD_API": "http://127.0.0.1:9",
                    **env,
                },
                stdout=log,
                stderr=log,
            )
        return self.agent

    def log_of_agent(self) -> str:
        return (self.state.parent / f"agent-{self.agents}.log").read_text()

    def end_agent(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.agent is not None
        self.agent.send_signal(number)
        status = self.agent.wait(timeout=10)
        self.agent = None
        return status

    async def wish(self, wanted: Want) -> None:
        await DesiredState(self.nc).put(wanted)

    def seen(
        self, event_type: str, *, instance: int = 17, attempt: int | None = None
    ) -> list[dict[str, Any]]:
        return [
            seen.data
            for seen in self.observations
            if seen.event_type == event_type
            and seen.data.get("instance_id", instance) == instance
            and (attempt is None or seen.data.get("attempt") == attempt)
        ]

    async def observe(
        self, event_type: str, *, instance: int = 17, attempt: int | None = None, seconds: float = 20
    ) -> dict[str, Any]:
        """Waits for the fact and gives its data."""
        try:
            await until(lambda: bool(self.seen(event_type, instance=instance, attempt=attempt)), seconds)
        except TimeoutError:
            story = [(seen.event_type, seen.data) for seen in self.observations]
            raise AssertionError(f"no {event_type}; seen: {story}\n{self.log_of_agent()}") from None
        return self.seen(event_type, instance=instance, attempt=attempt)[-1]

    def story(self, instance: int = 17) -> list[str]:
        return [seen.event_type for seen in self.observations if seen.data.get("instance_id") == instance]

    async def log(self, instance: int = 17, **asked: Any) -> LogAnswer:
        question: Contract = LogQuestion(instance_id=instance, **asked)
        return await Questions(self.nc).ask(self.worker_id, "logs", question, LogAnswer, timeout_s=5)

    def clean_up(self) -> None:
        """Ends the agent, then everything that was started below the state directory."""
        if self.agent is not None:
            self.end_agent(signal.SIGKILL)
        for process in processes_of(self.state):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def servers_below(state: Path) -> list[psutil.Process]:
    """Shims and model servers that name this state directory on their command line."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            if any(str(state / "instances") in word for word in process.cmdline()):
                found.append(process)
    return found


def processes_of(state: Path) -> list[psutil.Process]:
    """All that agents on this state directory have started: relays too, and servers that do not name it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            runs_here = process.environ().get("MODELYARD_RUN", "").startswith(str(state / "instances"))
            if runs_here or str(state / "relay") in process.cmdline():
                found.append(process)
    return found


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def chat(running: dict[str, Any]) -> httpx.Response:
    url = f"http://{running['host']}:{running['port']}/v1/chat/completions"
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        return await client.post(url, json=body)


@asynccontextmanager
async def machine_at(directory: Path, nats_url: str, nc: Client) -> AsyncIterator[Machine]:
    machine = Machine(directory / "worker", nats_url, nc)
    await machine.prepare()
    try:
        yield machine
    finally:
        machine.clean_up()
        await asyncio.sleep(0)
