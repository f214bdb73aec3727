"""What can be said of the compose stack without an engine. `make test-compose` runs it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

DIRECTORY = Path(__file__).parent.parent.parent / "deploy" / "compose"
ONE_SHOT = "keys"
FILES = ("compose.yaml", "compose.docker.yaml", "compose.gpu.yaml")


def services(name: str = "compose.yaml") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((DIRECTORY / name).read_text())["services"]
    return found


LASTING = sorted(set(services()) - {ONE_SHOT})


def test_the_stack_is_complete() -> None:
    assert LASTING == ["api", "gateway", "nats", "postgres", "scheduler", "worker"]


@pytest.mark.parametrize("name", LASTING)
def test_a_service_has_a_health_check_and_is_started_again(name: str) -> None:
    service = services()[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("file", FILES)
def test_no_service_is_privileged_or_on_the_hosts_network(file: str) -> None:
    for name, service in services(file).items():
        assert not service.get("privileged"), name
        assert not service.get("cap_add"), name
        for namespace in ("network_mode", "ipc"):
            assert service.get(namespace) != "host", name


@pytest.mark.parametrize("name", sorted(set(services()) - {"postgres"}))
def test_nothing_but_postgres_keeps_capabilities(name: str) -> None:
    assert services()[name]["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("file", FILES)
def test_only_a_worker_that_runs_containers_has_the_engines_socket_and_the_hosts_processes(file: str) -> None:
    for name, service in services(file).items():
        runs_containers = (file, name) == ("compose.docker.yaml", "worker")
        assert any("docker.sock" in volume for volume in service.get("volumes", [])) == runs_containers
        assert service.get("pid") == ("host" if runs_containers else None)


def test_images_are_pinned_to_a_version() -> None:
    defaults = re.findall(r"\$\{\w+_IMAGE:-([^}]+)\}", (DIRECTORY / "compose.yaml").read_text())
    dockerfile = re.findall(r"_IMAGE=(\S+)", (DIRECTORY / "Dockerfile").read_text())
    example = re.findall(r"^\w+_IMAGE=(\S+)", (DIRECTORY / ".env.example").read_text(), re.M)
    assert set(defaults) == set(example) >= set(dockerfile)
    for image in defaults:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?-\w+(-\w+)?", image), image


def test_our_images_do_not_run_as_root() -> None:
    assert "\nUSER modelyard\n" in (DIRECTORY / "Dockerfile").read_text()
    assert all("user" not in service or service["user"] == "10001:10001" for service in services().values())


def test_every_variable_of_the_files_is_in_the_example() -> None:
    example = (DIRECTORY / ".env.example").read_text()
    for file in FILES:
        wanted = set(re.findall(r"\$\{(\w+)", (DIRECTORY / file).read_text()))
        assert {name for name in wanted if not re.search(rf"\b{name}\b", example)} == set()


def test_ports_are_opened_on_loopback_unless_told_otherwise() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in published)


def test_nats_is_reached_over_tls_only() -> None:
    addresses = [
        value
        for service in services().values()
        for name, value in (service.get("environment") or {}).items()
        if name in ("MODELYARD_NATS", "MODELYARD_WORKER_NATS")
    ]
    assert addresses
    assert all(url.startswith("tls://") for address in addresses for url in address.split(","))
