"""Looks at model servers over HTTP."""

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

import httpx

from modelyard_worker_agent.domain.launching import Ask
from modelyard_worker_agent.ports import Listening

ANSWER_S = 60.0
"""For a first request, which may compile kernels."""
NOT_THIS_KIND = frozenset({400, 404, 405, 422, 500, 501})
"""Statuses by which a server says that it serves another kind of request."""
READ_BYTES = 1 << 16
LEFT_ALONE = "/?&=%:;,+@"
"""Of a path, as it is written."""


class HttpProbe:
    """`timeout_s`: of a look at health."""

    def __init__(self, client: httpx.AsyncClient, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def healthy(self, at: Listening, path: str | None) -> bool:
        status = await health_status(at, path or "/", self._timeout_s)
        return status is not None if path is None else status == 200

    async def answers(self, at: Listening, asks: Sequence[Ask]) -> bool:
        for ask in asks:
            status = await self._answer_to(at, ask)
            if status == 200:
                return True
            if status not in NOT_THIS_KIND:
                return False
        return not asks

    async def _answer_to(self, at: Listening, ask: Ask) -> int | None:
        """None if nothing came in time."""
        try:
            answer = await self._client.post(
                f"http://{at.host}:{at.port}{ask.path}", json=ask.body, timeout=ANSWER_S
            )
        except httpx.HTTPError:
            return None
        return answer.status_code


async def health_status(at: Listening, path: str, timeout_s: float) -> int | None:
    """Of a GET; None if nothing came in time. By hand: these looks are most of what a quiet agent does."""
    head = f"GET {quote(path, LEFT_ALONE)} HTTP/1.1\r\nHost: {at.host}:{at.port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(at.host, at.port)
            try:
                writer.write(head.encode())
                status = int((await reader.readline()).split(maxsplit=2)[1])
                await reader.read(READ_BYTES)  # not to be gone while it still speaks
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, IndexError):
        return None
    return status
