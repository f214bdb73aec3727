"""A model server's log from its worker through the api to a client, and bare NATS with as many bytes."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx
import nats
from bench.report import Figure
from conftest import NatsServer
from e2e.stack import Stack, deploy, running, running_count, until_instances
from modelyard_worker_agent.adapters.logfiles import CHUNK_BYTES
from nats.aio.client import Client
from nats.aio.msg import Msg
from tiny_gguf import write_tiny_gguf

LOG_BYTES = 64 << 20
LINE = b"INFO 11-25 10:00:00 engine.py:120] Avg generation throughput: 1043.2 tokens/s, Running: 31 reqs\n"
ROUNDS = 5
SUBJECT = "range"


async def measure() -> list[Figure]:
    with TemporaryDirectory() as made:
        directory = Path(made)
        write_tiny_gguf(directory / "tiny.gguf")
        async with running() as stack, stack.client() as client:
            ident, size = await _long_log(stack, client, directory / "tiny.gguf")
            bare, followed = await _rounds(directory, client, ident, size)
    base, found = median(bare), median(followed)
    return [
        Figure(
            f"bare nats-py request and reply, {CHUNK_BYTES >> 10} KiB each", size / base / 1e6, "MB/s", 1.0
        ),
        Figure("following a log through the api", size / found / 1e6, "MB/s", base / found),
    ]


async def _long_log(stack: Stack, client: httpx.AsyncClient, model: Path) -> tuple[int, int]:
    """An instance that serves, and how much its log holds."""
    made = await deploy(client, model, "talkative")
    [instance] = await until_instances(client, made["id"], running_count(1))
    [log] = stack.state.rglob(f"instances/{instance['id']}/0/log.txt")
    with log.open("ab") as file:
        file.write(LINE * (LOG_BYTES // len(LINE)))
    return instance["id"], log.stat().st_size


async def _rounds(
    directory: Path, client: httpx.AsyncClient, ident: int, size: int
) -> tuple[list[float], list[float]]:
    server = NatsServer(directory)
    server.start()
    await server.wait_until_ready()
    answering = subprocess.Popen([sys.executable, "-m", "bench.log_follow", server.url])
    nc = await nats.connect(server.url, pending_size=0)
    bare, followed = [], []
    try:
        for _ in range(ROUNDS):
            bare.append(await _bare(nc, size))
            followed.append(await _follow(client, ident, size))
    finally:
        await nc.close()
        answering.kill()
        answering.wait()
        server.kill()
    return bare, followed


async def _follow(client: httpx.AsyncClient, ident: int, size: int) -> float:
    begun = time.perf_counter()
    path, got = f"/v2/model-instances/{ident}/logs", 0
    async with client.stream("GET", path, params={"follow": "true"}, timeout=60) as response:
        async for piece in response.aiter_bytes():
            got += len(piece)
            if got >= size:
                break
    return time.perf_counter() - begun


async def _bare(nc: Client, size: int) -> float:
    begun = time.perf_counter()
    got = 0
    while got < size:
        got += len((await _asked(nc)).data)
    return time.perf_counter() - begun


async def _asked(nc: Client) -> Msg:
    while True:
        try:
            return await nc.request(SUBJECT, timeout=5)
        except nats.errors.NoRespondersError:  # it is still starting
            await asyncio.sleep(0.05)


async def _answer(url: str) -> None:
    nc = await nats.connect(url, pending_size=0)
    piece = (LINE * (CHUNK_BYTES // len(LINE) + 1))[:CHUNK_BYTES]

    async def give(message: Msg) -> None:
        await message.respond(piece)

    await nc.subscribe(SUBJECT, cb=give)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_answer(sys.argv[1]))
