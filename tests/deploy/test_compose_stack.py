"""The whole stack on a real Docker engine: `make test-compose`."""

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from compose_stack import ComposeStack, run, until
from modelyard_cli import demo_model

pytestmark = [
    pytest.mark.skipif("MODELYARD_TEST_COMPOSE" not in os.environ, reason="make test-compose"),
    pytest.mark.timeout(3000),
]

SERVICES = ("nats", "postgres", "api", "scheduler", "gateway", "worker")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    directory = tmp_path_factory.mktemp("compose")
    for above in (directory, *directory.parents[:2]):
        above.chmod(0o755)  # the worker, which is not root, reads models under it
    bridge = json.loads(run(["docker", "network", "inspect", "bridge"]))[0]
    made = ComposeStack(
        directory, f"modelyard-{uuid.uuid4().hex[:8]}", bridge["IPAM"]["Config"][0]["Gateway"]
    )
    made.configure(demo_model.fetch(print))
    try:
        made.compose("build")
        made.make_secrets()
        made.compose("up", "-d")
        for service in SERVICES:
            made.wait_until_healthy(service)
        made.log_in()
        made.define_a_version()
        made.deploy("chat")
        until("the model answers", lambda: made.answers("chat"))
        yield made
    finally:
        print(made.compose("logs", "--tail", "20"))
        made.compose("stop", "worker")
        for container in made.model_servers():
            run(["docker", "rm", "-f", container["Id"]])
        made.compose("down", "-v")


def test_the_model_is_served_by_a_container_without_privileges_that_no_other_machine_reaches(
    stack: ComposeStack,
) -> None:
    [container] = stack.model_servers()

    host, labels = container["HostConfig"], container["Config"]["Labels"]
    assert not host["Privileged"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == f"{stack.project}-models"
    assert not host["PortBindings"]
    assert host["Memory"] > 0
    [mount] = container["Mounts"]
    assert (mount["Source"], mount["Destination"], mount["RW"]) == (
        str(stack.directory / "models"),
        "/models",
        False,
    )
    [instance] = stack.items("/v2/model-instances")
    assert (labels["modelyard.instance"], labels["modelyard.generation"]) == (str(instance["id"]), "0")


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_container_comes_back_and_the_model_answers_again(stack: ComposeStack, service: str) -> None:
    [before] = stack.model_servers()
    stack.kill(service)
    until("the model answers again", lambda: stack.answers("chat"))
    [after] = stack.model_servers()
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])


def test_a_killed_model_server_is_started_anew(stack: ComposeStack) -> None:
    [before] = stack.model_servers()
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    until("another one runs", lambda: [c["Id"] for c in stack.model_servers()] not in ([], [before["Id"]]))
    until("the model answers again", lambda: stack.answers("chat"))


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "postgres"])
def test_nothing_runs_as_root(stack: ComposeStack, service: str) -> None:
    assert stack.compose("exec", "-T", service, "id", "-u").strip() == "10001"


@pytest.fixture
def second(stack: ComposeStack) -> Iterator[str]:
    """Another machine: its agent is in another network, and reaches the stack by this address only."""
    name = f"{stack.project}-second"
    printed = stack.compose("run", "--rm", "-T", "keys", "compose", "join", stack.address, "--containers")
    command = (
        printed.strip()
        .replace("--name modelyard-worker", f"--name {name}")
        .replace("-v modelyard-worker:", f"-v {name}:")
        .replace("modelyard-models", name)
        .replace("/srv/models", str(stack.directory / "models"))
    )
    try:
        run(["bash", "-c", command])
        yield stack.address
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=False, capture_output=True)
        for container in stack.model_servers():
            if container["HostConfig"]["NetworkMode"] == name:
                run(["docker", "rm", "-f", container["Id"]])
        subprocess.run(["docker", "network", "rm", name], check=False, capture_output=True)
        subprocess.run(["docker", "volume", "rm", name], check=False, capture_output=True)


def test_a_worker_of_another_network_joins_with_the_printed_command_and_serves(
    stack: ComposeStack, second: str
) -> None:
    def found() -> dict[str, object]:
        return next((one for one in stack.items("/v2/workers") if one["name"] == second), {})

    until("the second worker is ready", lambda: found().get("state") == "ready")
    with stack.api() as api:
        api.put(f"/v2/workers/{found()['id']}", json={"labels": {"machine": "second"}}).raise_for_status()
    stack.deploy("there", on={"machine": "second"})
    until("the model answers from there", lambda: stack.answers("there"))
