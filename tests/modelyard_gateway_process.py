"""The gateway as a process of its own, fed by a real NATS server."""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import nats
from conftest import free_port
from modelyard_contracts.base import Event
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_gateway_world import API_KEY, append

REQUEST = {"model": "tiny"}


@dataclass
class GatewayProcess:
    process: Process
    client: httpx.AsyncClient

    async def until_status(self, status: int, path: str = "/readyz") -> None:
        async with asyncio.timeout(20):
            while await self._status(path) != status:
                await asyncio.sleep(0.02)

    async def ask(self) -> int:
        return (await self.client.post("/v1/completions", json=REQUEST)).status_code

    async def until_asked(self, status: int) -> None:
        async with asyncio.timeout(20):
            while await self.ask() != status:
                await asyncio.sleep(0.02)

    async def end(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()

    async def _status(self, path: str) -> int:
        try:
            return (await self.client.get(path)).status_code
        except httpx.ConnectError:
            return 0


@asynccontextmanager
async def gateway(nats_url: str, *flags: str) -> AsyncIterator[GatewayProcess]:
    port = free_port()
    command = [sys.executable, "-m", "modelyard_gateway", "--nats", nats_url, "--port", str(port), *flags]
    process = await asyncio.create_subprocess_exec(*command)
    client = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {API_KEY.text()}"},
        timeout=20,
        trust_env=False,
    )
    try:
        async with client:
            yield GatewayProcess(process, client)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def happen(nats_url: str, *events: Event) -> None:
    async with await nats.connect(nats_url, pending_size=0) as client:
        await provision(client)
        await append(NatsEventLog(client), *events)
