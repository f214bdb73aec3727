"""A few lines of HTTP for services that serve nothing else: `GET /healthz` and `/readyz`."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    ok: bool
    detail: str


async def serve_health(host: str, port: int, check: Callable[[], Health]) -> None:
    """Answers probes without end: 200 if `check` says ok, else 503, with its sentence as JSON."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head, check))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port, limit=8192)
    async with server:
        await server.serve_forever()


def _response(head: bytes, check: Callable[[], Health]) -> bytes:
    path = head.split(b" ", 2)[1:2]
    health = check()
    if path not in ([b"/healthz"], [b"/readyz"]):
        status, body = "404 Not Found", b"{}"
    else:
        status = "200 OK" if health.ok else "503 Service Unavailable"
        body = json.dumps({"status": "ok" if health.ok else "failing", "message": health.detail}).encode()
    lines = [
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
