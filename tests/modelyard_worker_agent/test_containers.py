"""A real agent that runs model servers in containers of a real Docker engine."""

import os
import signal
from pathlib import Path

import httpx
import pytest
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_worker_agent.launchers.engine import Engine
from modelyard_worker_agent_world import Machine, want
from waiting import until

SOCKET = os.environ.get("MODELYARD_TEST_DOCKER", "")
IMAGE = os.environ.get("MODELYARD_TEST_IMAGE", "python:3.11-slim")
pytestmark = pytest.mark.skipif(
    not SOCKET, reason="no Docker engine: MODELYARD_TEST_DOCKER names no socket (see make test-docker)"
)


def served(model: Path) -> DeploymentSpec:
    return DeploymentSpec(
        source=Source.LOCAL_PATH,
        local_path=str(model),
        backend="Custom",
        image_name=IMAGE,
        run_command="python3 -m http.server {{port}} --bind {{host}} --directory {{model_path}}",
    )


async def test_a_container_is_started_adopted_after_a_kill_and_ended(
    machine: Machine, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["X"]}')
    env = {"MODELYARD_EXECUTOR": "docker", "MODELYARD_DOCKER_SOCKET": SOCKET}
    labels = {
        "modelyard.run": str(machine.state / "instances" / "17" / "0"),
        "modelyard.instance": "17",
        "modelyard.generation": "0",
    }
    machine.start_agent(**env)
    await machine.wish(want(served(model)))
    starting = await machine.observe("InstanceStarting", seconds=60)
    running = await machine.observe("InstanceRunning", seconds=60)

    assert starting["image"] == IMAGE
    assert starting["command"][-1] == str(model)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{running['host']}:{running['port']}/config.json")
    assert answer.json() == {"architectures": ["X"]}
    assert "GET /config.json" in (await machine.log()).text

    [ident] = Engine(SOCKET).labelled(labels)
    machine.end_agent(signal.SIGKILL)
    machine.start_agent(**env)
    await until(lambda: len(machine.seen("WorkerReady")) == 2)
    assert Engine(SOCKET).labelled(labels) == [ident]
    assert Engine(SOCKET).running(ident)

    await machine.wish(want(served(model), state="absent"))
    await machine.observe("InstanceStopped", seconds=60)
    assert Engine(SOCKET).labelled(labels) == []
