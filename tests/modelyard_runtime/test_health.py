"""The probes of a service that serves nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from conftest import free_port
from modelyard_runtime.health import Health, serve_health


class Service:
    def __init__(self) -> None:
        self.port = free_port()
        self.health = Health(ok=True, detail="follows the log")

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    task = asyncio.create_task(serve_health("127.0.0.1", made.port, lambda: made.health))
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", made.port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                break
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_service_that_is_well_says_so(service: Service) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await service.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "message": "follows the log"})


async def test_a_service_that_is_not_says_why(service: Service) -> None:
    service.health = Health(ok=False, detail="lacks 3 events and makes no progress")
    answer = await service.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failing", "message": "lacks 3 events and makes no progress"}


async def test_other_paths_are_not_there(service: Service) -> None:
    assert (await service.get("/metrics")).status_code == 404


async def test_who_hangs_up_or_talks_nonsense_disturbs_nobody(service: Service) -> None:
    for said in (b"", b"GET", b"x" * 10_000):
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(said)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    assert (await service.get("/healthz")).status_code == 200
