"""A real agent that runs model servers in containers of a real Docker engine."""

import asyncio
import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from image_registry import image_registry
from modelyard_contracts.deployments import Claim, DeploymentSpec, Source
from modelyard_worker_agent.launchers.engine import Engine
from modelyard_worker_agent_world import Machine, servers_below, want
from waiting import until, until_async

SOCKET = os.environ.get("MODELYARD_TEST_DOCKER", "")
IMAGE = os.environ.get("MODELYARD_TEST_IMAGE", "python:3.11-slim")
PATIENCE_S = 60
pytestmark = pytest.mark.skipif(
    not SOCKET, reason="no Docker engine: MODELYARD_TEST_DOCKER names no socket (see make test-docker)"
)


@dataclass
class Box:
    """A machine whose agents run containers."""

    machine: Machine
    model: Path

    def start_agent(self, **env: str) -> None:
        self.machine.start_agent(MODELYARD_EXECUTOR="docker", MODELYARD_DOCKER_SOCKET=SOCKET, **env)

    def served(self, image: str = IMAGE) -> DeploymentSpec:
        return DeploymentSpec(
            source=Source.LOCAL_PATH,
            local_path=str(self.model),
            backend="Custom",
            image_name=image,
            run_command="python3 -m http.server {{port}} --bind {{host}} --directory {{model_path}}",
        )

    def containers(self, **labels: str) -> list[str]:
        try:
            agent = json.loads((self.machine.state / "identity.json").read_text())["worker_uuid"]
        except OSError:
            return []
        asked = {f"modelyard.{name}": value for name, value in labels.items()}
        return Engine(SOCKET).labelled({"modelyard.agent": agent, **asked})

    def kill_agent(self, *, and_all_of_ours: bool) -> None:
        """As its own container's end does: with every process beside the containers of model servers."""
        self.machine.end_agent(signal.SIGKILL)
        for process in servers_below(self.machine.state) if and_all_of_ours else ():
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def box(machine: Machine, tmp_path: Path) -> Iterator[Box]:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["X"]}')
    made = Box(machine, model)
    yield made
    if machine.agent is not None:
        made.kill_agent(and_all_of_ours=True)
    for ident in made.containers():
        Engine(SOCKET).remove(ident)


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


async def fetched(running: dict[str, Any]) -> Any:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{running['host']}:{running['port']}/config.json")
    return answer.json()


async def said(machine: Machine, words: str) -> bool:
    return words in (await machine.log()).text


async def test_a_container_is_started_adopted_after_a_kill_and_ended(box: Box) -> None:
    machine = box.machine
    box.start_agent()
    await machine.wish(want(box.served()))
    starting = await machine.observe("InstanceStarting", seconds=PATIENCE_S)
    running = await machine.observe("InstanceRunning", seconds=PATIENCE_S)

    assert starting["image"] == IMAGE
    assert starting["command"][-1] == str(box.model)
    assert await fetched(running) == {"architectures": ["X"]}
    await until_async(lambda: said(machine, "GET /config.json"))

    run = str(machine.state / "instances" / "17" / "0")
    labels = {"run": run, "instance": "17", "generation": "0"}
    [ident] = box.containers(**labels)
    box.kill_agent(and_all_of_ours=False)
    box.start_agent()
    await until(lambda: len(machine.seen("WorkerReady")) == 2)
    assert box.containers(**labels) == [ident]
    assert Engine(SOCKET).running(ident)

    await machine.wish(want(box.served(), state="absent"))
    await machine.observe("InstanceStopped", seconds=PATIENCE_S)
    assert box.containers() == []


@pytest.mark.parametrize("and_all_of_ours", [False, True])
@pytest.mark.parametrize("seed", range(2))
async def test_a_start_and_a_stop_that_are_cut_off_anywhere_leave_nothing(
    box: Box, seed: int, and_all_of_ours: bool
) -> None:
    machine, chance = box.machine, random.Random(seed)

    async def cut_off(longest_s: float) -> None:
        for _ in range(3):
            await asyncio.sleep(chance.uniform(0.0, longest_s))
            box.kill_agent(and_all_of_ours=and_all_of_ours)
            box.start_agent()

    def settled(attempt: int) -> bool:
        return bool(machine.seen("InstanceRunning") or machine.seen("InstanceFailed", attempt=attempt))

    box.start_agent()
    await machine.wish(want(box.served()))
    await cut_off(3.0)
    for attempt in range(5):
        await until(partial(settled, attempt), PATIENCE_S)
        if machine.seen("InstanceRunning"):
            break
        await machine.wish(want(box.served(), attempt=attempt + 1))
    running = machine.seen("InstanceRunning")[-1]
    assert await fetched(running) == {"architectures": ["X"]}
    await until(lambda: len(box.containers()) == 1, PATIENCE_S)

    await machine.wish(want(box.served(), state="absent", attempt=running["attempt"]))
    await cut_off(2.0)
    await machine.observe("InstanceStopped", seconds=PATIENCE_S)
    await until(lambda: box.containers() == [] and servers_below(machine.state) == [], PATIENCE_S)


async def test_what_another_agent_runs_by_the_same_name_is_left_alone(box: Box) -> None:
    run = box.machine.state / "instances" / "17" / "0"
    labels = {"modelyard.run": str(run), "modelyard.agent": "another", "modelyard.worker": "3"}
    words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    other = docker("run", "-d", *words, IMAGE, "sleep", "1000")
    try:
        box.start_agent()
        await box.machine.wish(want(box.served()))
        await box.machine.observe("InstanceRunning", seconds=PATIENCE_S)
        await box.machine.wish(want(box.served(), state="absent"))
        await box.machine.observe("InstanceStopped", seconds=PATIENCE_S)
        await asyncio.sleep(6)  # strays are looked for every five seconds
        assert Engine(SOCKET).running(other)
    finally:
        Engine(SOCKET).remove(other)


async def test_time_in_which_an_image_is_fetched_is_no_time_in_which_it_starts(box: Box) -> None:
    with image_registry() as registry:
        registry.go_on.clear()
        box.start_agent(MODELYARD_START_TIMEOUT_S="0.5")
        await box.machine.wish(want(box.served(registry.image)))
        await box.machine.observe("InstanceStarting", seconds=PATIENCE_S)
        await asyncio.sleep(3)
        assert not box.machine.seen("InstanceFailed")
        assert f"pulling {registry.image}" in (await box.machine.log()).text

        registry.layer_is_lost = True
        registry.go_on.set()
        await box.machine.observe("InstanceFailed", seconds=PATIENCE_S)
        assert f"pulled {registry.image}" in (await box.machine.log()).text
        docker("image", "rm", "-f", registry.image)
    await until(lambda: box.containers() == [], PATIENCE_S)


async def test_devices_that_the_engine_cannot_give_are_said_and_nothing_is_left(box: Box) -> None:
    box.start_agent()
    claim = Claim(vram_bytes={"cuda:0": 2**30, "cuda:1": 2**30})
    await box.machine.wish(want(box.served()).model_copy(update={"claim": claim}))

    failed = await box.machine.observe("InstanceFailed", seconds=PATIENCE_S)

    assert 'device driver "nvidia"' in failed["message"]
    await until(lambda: box.containers() == [], PATIENCE_S)
