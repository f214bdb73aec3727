"""A request's body: read as far as needed, passed on as it comes."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Receive

from modelyard_gateway.domain import refusals


class ClientGone(Exception):
    """The client hung up; nobody waits for an answer."""


class RequestBody:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = bytearray()
        self._ended = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    async def read(self, at_least: int) -> bytes:
        """The body's beginning, `at_least` bytes if it has so many. Raises `ClientGone`."""
        while not self.ended and len(self._read) < at_least:
            self._read += await self._next()
        return bytes(self._read)

    async def read_all(self, limit: int) -> bytes:
        """Raises `Refusal` (413) if it is longer than `limit`, `ClientGone`."""
        body = await self.read(limit + 1)
        if len(body) > limit:
            raise refusals.too_large(limit)
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The whole body, what was read before included; to be run once. Raises `ClientGone`."""
        if self._read:
            yield bytes(self._read)
            self._read.clear()
        while not self.ended:
            chunk = await self._next()
            if chunk:
                yield chunk

    async def wait_until_client_gone(self) -> None:
        """Listens once the body has been read to its end."""
        await self._ended.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if not message.get("more_body", False):
            self._ended.set()
        body: bytes = message.get("body", b"")
        return body
