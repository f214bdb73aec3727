"""Model servers over HTTP/1.1: connections that are kept, and the exchange that each of them carries."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from modelyard_gateway.domain.framing import NO_BODY, Body, Malformed, UntilClose
from modelyard_gateway.domain.heads import HEAD_END, ResponseHead, parse_response, tokens

KEEPALIVE_S = 2.0
"""Shorter than the 5 s of llama.cpp's and uvicorn's servers, so that they do not close a connection
just as it is used again."""
MAX_HEAD = 64 * 1024
SWITCHING = 101


class Receiver(Protocol):
    """What a connection tells the exchange it carries."""

    def connected(self, connection: "UpstreamConnection") -> None: ...
    def connect_failed(self, why: str) -> None: ...
    def response_head(self, head: ResponseHead) -> None: ...
    def response_body(self, parts: list[bytes]) -> None: ...
    def response_end(self) -> None: ...
    def tunnelled(self, data: bytes) -> None: ...
    def upstream_eof(self) -> None: ...
    def upstream_lost(self, why: str) -> None: ...
    def upstream_full(self, full: bool) -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """Carries one exchange at a time. `transport.write` is the exchange's to call."""

    __slots__ = (
        "_address", "_body", "_closing", "_head", "_method", "_pool", "idle_since", "receiver", "reused",
        "transport", "tunnel",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, pool: "UpstreamPool", address: tuple[str, int]) -> None:
        self._pool = pool
        self._address = address
        self.receiver: Receiver | None = None
        self.reused = False
        self.idle_since = 0.0
        self.tunnel = False
        self._method = b""
        self._head = b""
        self._body: Body | None = None
        self._closing = False

    def begin(self, receiver: Receiver, method: bytes) -> None:
        self.receiver = receiver
        self._method = method
        self._head = b""
        self._body = None
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            self.transport.abort()  # it speaks without being asked
        elif self.tunnel:
            receiver.tunnelled(data)
        else:
            try:
                self._read(data, receiver)
            except Malformed as error:
                self._lose(f"its answer breaks HTTP: {error}")

    def _read(self, data: bytes, receiver: Receiver) -> None:
        body = self._body
        if body is None:
            data = self._head + data if self._head else data
            body, data = self._read_head(data, receiver)
            if body is None or self.receiver is not receiver:
                return
        parts: list[bytes] = []
        rest = body.feed(data, parts) if data else b""
        if parts:
            receiver.response_body(parts)
        if body.done and self.receiver is receiver:
            self._end(receiver, rest)

    def _read_head(self, data: bytes, receiver: Receiver) -> tuple[Body | None, bytes]:
        """The body of the final response, once its head is there, and what came behind the head."""
        while True:
            end = data.find(HEAD_END)
            if end < 0:
                if len(data) > MAX_HEAD:
                    raise Malformed("its head is too long")
                self._head = data
                return None, b""
            head = parse_response(data[: end + 4])
            data = data[end + 4 :]
            if head.status >= 200 or head.status == SWITCHING:
                break
        self._head = b""
        self.tunnel = head.status == SWITCHING
        self._body = body = NO_BODY if self.tunnel else head.body(self._method)
        self._closing = isinstance(body, UntilClose) or b"close" in tokens(head.fields.get(b"connection"))
        receiver.response_head(head)
        if self.tunnel:
            if data and self.receiver is receiver:
                receiver.tunnelled(data)
            return None, b""
        return body, data

    def _end(self, receiver: Receiver, rest: bytes) -> None:
        self._closing = self._closing or bool(rest)
        receiver.response_end()

    def release(self) -> None:
        """The exchange is over and whole: the connection is kept for the next, if it may be."""
        self.receiver = None
        if self._closing or self.transport.is_closing():
            self.transport.abort()
        else:
            self._pool.keep(self._address, self)

    def abort(self) -> None:
        """Breaks the exchange off, which the model server notices."""
        self.receiver = None
        self.transport.abort()

    def eof_received(self) -> bool:
        receiver = self.receiver
        if receiver is None or not self.tunnel:
            if isinstance(self._body, UntilClose) and receiver is not None:
                receiver.response_end()
            return False
        receiver.upstream_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.receiver is None:
            self._pool.forget(self._address, self)
        else:
            self._lose(str(exc) if exc is not None else "it closed the connection")

    def _lose(self, why: str) -> None:
        receiver, self.receiver = self.receiver, None
        self.transport.abort()
        if receiver is not None:
            receiver.upstream_lost(why)

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.upstream_full(True)

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.upstream_full(False)


class UpstreamPool:
    """`clock` is the loop's, in seconds."""

    def __init__(self, clock: Callable[[], float], *, connect_timeout_s: float) -> None:
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._idle: dict[tuple[str, int], list[UpstreamConnection]] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    def take(self, address: tuple[str, int]) -> UpstreamConnection | None:
        """The connection that was used last, if there is one."""
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                connection.reused = True
                return connection
        return None

    def connect(self, address: tuple[str, int], receiver: Receiver) -> asyncio.Task[None]:
        """Tells the receiver when it is done; cancelling the task gives it up."""
        task = asyncio.get_running_loop().create_task(self._connect(address, receiver))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    async def _connect(self, address: tuple[str, int], receiver: Receiver) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self, address), *address
                )
        except TimeoutError:
            receiver.connect_failed(f"no connection within {self._connect_timeout_s} s")
        except OSError as error:
            receiver.connect_failed(error.strerror or str(error))
        else:
            receiver.connected(connection)

    def keep(self, address: tuple[str, int], connection: UpstreamConnection) -> None:
        connection.idle_since = self._clock()
        self._idle.setdefault(address, []).append(connection)

    def forget(self, address: tuple[str, int], connection: UpstreamConnection) -> None:
        idle = self._idle.get(address)
        if idle and connection in idle:
            idle.remove(connection)

    def close_idle(self, older_than_s: float = KEEPALIVE_S) -> None:
        """To be called about once a second."""
        oldest = self._clock() - older_than_s
        for address, idle in tuple(self._idle.items()):
            stale = [connection for connection in idle if connection.idle_since <= oldest]
            self._idle[address] = [connection for connection in idle if connection.idle_since > oldest]
            if not self._idle[address]:
                del self._idle[address]
            for connection in stale:
                connection.transport.close()

    async def aclose(self) -> None:
        for task in self._connecting:
            task.cancel()
        self.close_idle(older_than_s=-1.0)
