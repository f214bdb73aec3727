import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import NatsServer
from fake_nvml import FakeNvml, build
from modelyard_worker_agent_world import Machine, machine_at
from nats.aio.client import Client
from tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_gguf(path)
    return path


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The small chat model of the demo, where it was fetched before."""
    kept = Path.home() / ".cache/modelyard/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    path = Path(os.environ.get("MODELYARD_TEST_MODEL", kept))
    if not path.is_file():
        pytest.skip(f"{path} is not here; set MODELYARD_TEST_MODEL")
    return path


@pytest.fixture
async def machine(own_nats_server: NatsServer, own_nats: Client, tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine_at(tmp_path, own_nats_server.url, own_nats) as made:
        yield made


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def fake_nvml(nvml_library: Path, tmp_path: Path) -> FakeNvml:
    return FakeNvml(nvml_library, tmp_path / "nvml.txt")
