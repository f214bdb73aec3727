"""A llama.cpp server with a tiny model, started as a worker starts it."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from tiny_gguf import write_tiny_gguf

LAUNCHER = "modelyard_worker_agent.launchers.llama_cpp"


@contextlib.asynccontextmanager
async def llama_cpp_server(directory: Path, *more: str) -> AsyncIterator[int]:
    """With more flags than usual; gives its port once it is ready."""
    model, report = directory / "tiny.gguf", directory / "report.json"
    write_tiny_gguf(model)
    flags = ["--model", str(model), "--report", str(report), "--ctx-size", "4096", "--parallel", "2"]
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            LAUNCHER,
            *flags,
            "--threads",
            "1",
            "--metrics",
            *more,
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
            while not report.exists():
                assert process.returncode is None, (directory / "log").read_text()
                await asyncio.sleep(0.02)
            address = json.loads(report.read_text())["address"]
            while not await _healthy(client, f"{address}/health"):
                await asyncio.sleep(0.02)
        yield int(address.rpartition(":")[2])
    finally:
        process.kill()
        await process.wait()


async def _healthy(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False
