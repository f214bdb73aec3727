"""One running installation for the tests of behaviour; those that break things start their own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from e2e.stack import Stack, running
from hub_server import Hub, hub_server
from modelyard_models_hub import fill
from tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_gguf(path)
    return path


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    """Its worker is reached by the relay, as those on other machines are."""
    async with running(environment={"MODELYARD_RELAY_PORT": "0"}) as started:
        yield started


@pytest.fixture
async def api(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with stack.client() as client:
        yield client


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with stack.client(stack.gateway_url) as client:
        yield client


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A local hub with small repositories; a module may have one of its own."""
    with hub_server() as server:
        fill(server, tmp_path_factory.mktemp("hub"))
        yield server


@pytest.fixture(scope="module")
async def stack_of_hub(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """An installation whose hubs are that one."""
    environment = {
        "HF_ENDPOINT": hub.url,
        "MODELSCOPE_ENDPOINT": hub.url,
        "MODELYARD_MODEL_CACHE": str(tmp_path_factory.mktemp("cache")),
        "MODELYARD_TELEMETRY_S": "0.2",
    }
    async with running(environment=environment) as started:
        yield started
