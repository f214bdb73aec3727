"""How to tell that each part is up."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import httpx

POLL_S = 0.05
Check = Callable[[], Awaitable[bool]]


def nats_answers(host: str, port: int) -> Check:
    """nats-server greets once JetStream has recovered its files."""

    async def check() -> bool:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            greeting = await reader.readline()
            writer.close()
        except OSError:
            return False
        return greeting.startswith(b"INFO")

    return check


def postgres_answers(url: str) -> Check:
    async def check() -> bool:
        try:
            connection = await asyncpg.connect(url, timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True

    return check


def http_answers(url: str) -> Check:
    async def check() -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            try:
                return (await client.get(url)).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

    return check


async def until(check: Check) -> None:
    while not await check():  # noqa: ASYNC110 - what it asks is another process
        await asyncio.sleep(POLL_S)
