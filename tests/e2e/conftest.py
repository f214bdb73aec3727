"""One running installation for the tests of behaviour; those that break things start their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from e2e.stack import Stack, running
from tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_gguf(path)
    return path


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    async with running() as started:
        yield started


@pytest.fixture
async def api(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with stack.client() as client:
        yield client


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with stack.client(stack.gateway_url) as client:
        yield client
