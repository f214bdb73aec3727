"""A worker that falls silent: its model servers go on, and are replaced only when it is given up."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
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


@pytest.fixture
async def own_stack() -> AsyncIterator[Stack]:
    async with running() as started:
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
        made, [theirs, ours] = await two_instances(api, tiny_model, worker)
        with second.silent():
            await until_worker(api, "second", in_state("unknown"))
            kept = await instances(api, made["id"])
            assert {item["id"] for item in kept} == {theirs["id"], ours["id"]}
            assert [(await chat(gateway, "twins")).status_code for _ in range(8)] == [200] * 8
            assert psutil.pid_exists(theirs["pid"])

            await until_worker(api, "second", in_state("not_ready"))
            here = ours["worker_id"]
            replaced = await until_instances(
                api,
                made["id"],
                lambda items: running_count(2)(items) and all(item["worker_id"] == here for item in items),
            )
            assert ours["id"] in {item["id"] for item in replaced}
            assert psutil.pid_exists(theirs["pid"])
        await until_worker(api, "second", in_state("ready"))
        await until(lambda: not psutil.pid_exists(theirs["pid"]))
        told = [event["type"] for event in await story(api, f"worker/{worker['id']}")]
        assert [kind for kind in told if kind in ("WorkerSilent", "WorkerLost", "WorkerRecovered")] == [
            "WorkerSilent",
            "WorkerLost",
            "WorkerRecovered",
        ]
        removed = [e for e in await story(api, f"instance/{theirs['id']}") if e["type"] == "InstanceRemoved"]
        assert removed[0]["data"]["reason"] == "worker_lost"


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


async def test_not_all_workers_are_given_up_at_once(
    own_stack: Stack, second: Agent, tiny_model: Path
) -> None:
    """Of two silent workers one is replaced; with both gone, the fault is more likely ours than theirs."""
    async with own_stack.client() as api:
        worker = await until_worker(api, "second", in_state("ready"))
        made, _ = await two_instances(api, tiny_model, worker)
        agents = own_stack.processes("modelyard_worker_agent")
        [first] = [agent for agent in agents if agent.pid != second.process.pid]
        with second.silent():
            first.suspend()
            silent_since = time.monotonic()
            try:
                while True:
                    workers = (await api.get("/v2/workers")).json()["items"]
                    states = sorted(item["state"] for item in workers)
                    assert states != ["not_ready", "not_ready"]
                    if time.monotonic() - silent_since > 2 * float(FAST["MODELYARD_WORKER_GRACE_S"]) + 2:
                        break
                    await asyncio.sleep(0.1)
                assert states == ["not_ready", "unknown"]
            finally:
                first.resume()
        await until_instances(api, made["id"], running_count(2))
