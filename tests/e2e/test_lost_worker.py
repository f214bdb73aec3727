"""A worker that falls silent: its model servers go on, and are replaced only when it is given up."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from e2e.stack import (
    FAST,
    Json,
    Stack,
    chat,
    deploy,
    instances,
    running,
    running_count,
    story,
    until_instances,
)
from waiting import until

GRACE_S = 6
PRESENCE = ("WorkerSilent", "WorkerLost", "WorkerRecovered")


@pytest.fixture
async def own_stack(request: pytest.FixtureRequest) -> AsyncIterator[Stack]:
    """With a grace of some seconds, or of as many as the test asks for."""
    grace_s = getattr(request, "param", GRACE_S)
    async with running(environment={"MODELYARD_WORKER_GRACE_S": str(grace_s)}) as started:
        yield started


class Agent:
    """A second worker beside the one that `up` has."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        secrets = json.loads((self._stack.state / "secrets.json").read_text())
        ours = {
            "MODELYARD_API": self._stack.api_url,
            "MODELYARD_JOIN_TOKEN": secrets["join_token"],
            "MODELYARD_NATS": f"nats://127.0.0.1:{self._stack.nats_port}",
            "MODELYARD_WORKER_STATE": str(self._stack.directory / "second"),
            "MODELYARD_WORKER_NAME": "second",
        }
        with (self._stack.directory / "second.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "modelyard_worker_agent"],
                stdout=log,
                stderr=log,
                env={**os.environ, **FAST, **self._stack.environment, **ours},
                start_new_session=True,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def start_again(self) -> None:
        self.process = self._start()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def suspended(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@pytest.fixture
async def second(own_stack: Stack) -> AsyncIterator[Agent]:
    agent = Agent(own_stack)
    try:
        yield agent
    finally:
        agent.kill()


async def until_worker(
    client: httpx.AsyncClient, name: str, holds: Callable[[Json], bool], seconds: float = 40
) -> Json:
    """The worker of that name, once it is as wanted."""
    async with asyncio.timeout(seconds):
        while True:
            found = (await client.get("/v2/workers", params={"name": name})).json()["items"]
            if found and holds(found[0]):
                worker: Json = found[0]
                return worker
            await asyncio.sleep(0.05)


def in_state(state: str) -> Callable[[Json], bool]:
    return lambda worker: bool(worker["state"] == state)


async def two_instances(client: httpx.AsyncClient, model: Path, on: Json) -> tuple[Json, list[Json]]:
    """A deployment with an instance on each worker; the one on worker `on` comes first."""
    made = await deploy(client, model, "twins", replicas=2)
    found = await until_instances(client, made["id"], running_count(2))
    found.sort(key=lambda item: bool(item["worker_id"] != on["id"]))
    assert found[0]["worker_id"] == on["id"]
    assert found[1]["worker_id"] != on["id"]
    return made, found


async def test_a_silent_worker_keeps_its_routes_and_is_replaced_after_the_grace(
    own_stack: Stack, second: Agent, tiny_model: Path
) -> None:
    async with own_stack.client() as api, own_stack.client(own_stack.gateway_url) as gateway:
        worker = await until_worker(api, "second", in_state("ready"))
        # one on the first worker makes it the fuller one, so the next goes to the second
        filler = await deploy(api, tiny_model, "filler")
        [elsewhere] = await until_instances(api, filler["id"], running_count(1))
        made = await deploy(api, tiny_model, "chat")
        [theirs] = await until_instances(api, made["id"], running_count(1))
        assert theirs["worker_id"] == worker["id"]
        with second.silent():
            await until_worker(api, "second", in_state("unknown"))
            assert [item["id"] for item in await instances(api, made["id"])] == [theirs["id"]]
            assert (await chat(gateway, "chat")).status_code == 200, "its only instance is on that worker"

            await until_worker(api, "second", in_state("not_ready"))
            [replacement] = await until_instances(
                api,
                made["id"],
                lambda items: running_count(1)(items) and items[0]["id"] != theirs["id"],
            )
            assert replacement["worker_id"] == elsewhere["worker_id"]
            assert (await chat(gateway, "chat")).status_code == 200
            assert psutil.pid_exists(theirs["pid"]), "nobody is there to end it"
        await until_worker(api, "second", in_state("ready"))
        await until(lambda: not psutil.pid_exists(theirs["pid"]))
        assert [item["id"] for item in await instances(api, made["id"])] == [replacement["id"]]

        told = [event["type"] for event in await story(api, f"worker/{worker['id']}")]
        assert [kind for kind in told if kind in PRESENCE] == list(PRESENCE)
        whole = [
            (event["subject"], event["type"], event["data"].get("reason"))
            for event in await story(api, f"deployment/{made['id']}")
            if event["type"] in ("InstanceRequested", "InstanceRunning", "InstanceRemoved")
        ]
        assert whole == [
            (f"instance/{theirs['id']}", "InstanceRequested", None),
            (f"instance/{theirs['id']}", "InstanceRunning", None),
            (f"instance/{theirs['id']}", "InstanceRemoved", "worker_lost"),
            (f"instance/{replacement['id']}", "InstanceRequested", None),
            (f"instance/{replacement['id']}", "InstanceRunning", None),
        ]


@pytest.mark.parametrize("own_stack", [60], indirect=True, ids=["within the grace"])
async def test_an_agent_that_comes_back_adopts_its_model_server(
    own_stack: Stack, second: Agent, tiny_model: Path
) -> None:
    async with own_stack.client() as api:
        worker = await until_worker(api, "second", in_state("ready"))
        made, before = await two_instances(api, tiny_model, worker)
        second.kill()
        await until_worker(api, "second", in_state("unknown"))
        second.start_again()
        await until_worker(api, "second", in_state("ready"))
        after = await until_instances(api, made["id"], running_count(2))
        assert {(item["id"], item["pid"], item["restart_count"]) for item in after} == {
            (item["id"], item["pid"], 0) for item in before
        }
        # it is in charge of what it found: the server ends when the agent is told to end it
        await api.delete(f"/v2/models/{made['id']}")
        await until(lambda: not any(psutil.pid_exists(item["pid"]) for item in before))
        await _a_crash_log_outlives_its_worker(api, second, worker, tiny_model)


async def _a_crash_log_outlives_its_worker(
    api: httpx.AsyncClient, second: Agent, worker: Json, model: Path
) -> None:
    broken = model.with_name("broken.gguf")
    broken.write_bytes(model.read_bytes().replace(b"llama", b"lxama"))
    made = await deploy(api, broken, "broken", replicas=2, restart_on_error=False)
    failed = await until_instances(
        api, made["id"], lambda found: [item["state"] for item in found] == ["error", "error"]
    )
    [theirs] = [item for item in failed if item["worker_id"] == worker["id"]]
    second.kill()

    log = await api.get(f"/v2/model-instances/{theirs['id']}/logs")

    assert log.status_code == 200, log.text
    assert "is on second: " in log.text
    assert "the last lines of start 1, which failed" in log.text
    assert "failed to load" in log.text


async def test_when_many_workers_fall_silent_at_once_none_is_given_up(
    own_stack: Stack, second: Agent, tiny_model: Path
) -> None:
    """The fault is more likely ours than theirs; the gateway goes on routing."""
    async with own_stack.client() as api, own_stack.client(own_stack.gateway_url) as gateway:
        worker = await until_worker(api, "second", in_state("ready"))
        made, before = await two_instances(api, tiny_model, worker)
        agents = own_stack.processes("modelyard_worker_agent")
        [first] = [agent for agent in agents if agent.pid != second.process.pid]
        with second.silent(), suspended(first):
            for item in (await api.get("/v2/workers")).json()["items"]:
                await until_worker(api, item["name"], in_state("unknown"))
            storm = await until_told(api, "FleetStormDetected")
            over = datetime.fromisoformat(storm["time"]) + timedelta(seconds=GRACE_S + 3)
            await until(lambda: datetime.now(UTC) > over)
            assert [item["id"] for item in await instances(api, made["id"])] == [i["id"] for i in before]
            assert (await chat(gateway, made["name"])).status_code == 200
        for item in (await api.get("/v2/workers")).json()["items"]:
            await until_worker(api, item["name"], in_state("ready"))
        await until_told(api, "FleetStormEnded")
        await until_instances(api, made["id"], running_count(2))
        assert (await api.get("/v2/events?type=WorkerLost")).json()["items"] == []


async def until_told(api: httpx.AsyncClient, kind: str) -> Json:
    async with asyncio.timeout(30):
        while True:
            items: list[Json] = (await api.get("/v2/events", params={"type": kind})).json()["items"]
            if items:
                return items[0]
            await asyncio.sleep(0.05)
