"""A connection to a model server, HTTP/1.1, and the exchange that it carries."""

import asyncio
from typing import Protocol

from modelyard_gateway.domain.framing import NO_BODY, Body, Malformed, UntilClose
from modelyard_gateway.domain.headers import Known
from modelyard_gateway.domain.response_head import HEAD_END, ResponseHead

MAX_HEAD = 64 * 1024
SWITCHING = 101


class Receiver(Protocol):
    """What a connection tells the exchange it carries."""

    __slots__ = ()

    def connected(self, connection: "UpstreamConnection") -> None: ...
    def connect_failed(self, why: str) -> None: ...
    def response(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The head has come, and with it the beginning of the body or all of it."""

    def response_body(self, data: bytes, done: bool, framed: bytes | None = None) -> None:
        """`framed` is the same as it came, if that is a whole chunk."""

    def tunnelled(self, data: bytes) -> None: ...
    def upstream_eof(self) -> None: ...
    def upstream_lost(self, why: str) -> None: ...
    def upstream_full(self, full: bool) -> None: ...


class Kept:
    """Connections to one address: how many are open, and the idle ones, the one used last at the end."""

    __slots__ = ("idle", "open")

    def __init__(self) -> None:
        self.idle: list[UpstreamConnection] = []
        self.open = 0


class UpstreamConnection(asyncio.Protocol):
    """Carries one exchange at a time. What is sent to it, the exchange writes."""

    __slots__ = (
        "_body", "_closing", "_head_only", "_heads", "_kept", "_unread", "idle_since", "receiver", "reused",
        "transport", "tunnel",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, kept: Kept, heads: Known[ResponseHead]) -> None:
        self._kept = kept
        kept.open += 1
        self._heads = heads
        self.receiver: Receiver | None = None
        self.reused = False
        self.idle_since = 0.0
        self.tunnel = False
        self._head_only = False
        self._unread = b""
        self._body: Body | None = None
        """Of the answer that is being read; None before its head has come."""
        self._closing = False

    def begin(self, receiver: Receiver, method: bytes) -> None:
        self.receiver = receiver
        self._head_only = method == b"HEAD"
        self._body = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            self.transport.abort()  # it speaks without being asked
        elif self.tunnel:
            receiver.tunnelled(data)
        else:
            body = self._body
            try:
                if body is None:
                    self._begin_reading(data, receiver)
                    return
                payload = body.only(data)
                if payload:
                    receiver.response_body(payload, False, data)
                    return
                payload, rest = body.feed(data)
            except Malformed as error:
                self._lose(f"its answer breaks HTTP: {error}")
                return
            if rest:
                self._closing = True
            receiver.response_body(payload, body.done)

    def _begin_reading(self, data: bytes, receiver: Receiver) -> None:
        """Most answers come in one piece, under a head that is known."""
        end = data.find(HEAD_END) + 4
        head = self._heads.find(data[:end])
        if head is None or head.length != len(data) - end or head.no_body or self._unread or self._head_only:
            self._read_head(self._unread + data, receiver)
            return
        self._closing = head.closes
        receiver.response(head, data[end:], True)

    def _read_head(self, data: bytes, receiver: Receiver) -> None:
        """Informational answers are passed over (RFC 9110 section 15.2)."""
        while True:
            end = data.find(HEAD_END) + 4
            if end < 4:
                if len(data) > MAX_HEAD:
                    raise Malformed("its head is too long")
                self._unread = data
                return
            head = self._heads.read(data[:end])
            data = data[end:]
            if head.status >= 200 or head.status == SWITCHING:
                break
        self._unread = b""
        if head.status == SWITCHING:
            self.tunnel = True
            receiver.response(head, data, False)
            return
        self._closing = head.closes
        body = self._body = NO_BODY if head.no_body or self._head_only else head.body()
        data, rest = body.feed(data)
        if rest or isinstance(body, UntilClose):
            self._closing = True
        receiver.response(head, data, body.done)

    def release(self, now: float) -> None:
        """The exchange is over and whole: the connection is kept for the next, if it may be."""
        self.receiver = None
        if self._closing or self.transport.is_closing():
            self.transport.abort()
        else:
            self.idle_since = now
            self._kept.idle.append(self)

    def abort(self) -> None:
        """Breaks the exchange off, which the model server notices."""
        self.receiver = None
        self.transport.abort()

    def eof_received(self) -> bool:
        receiver = self.receiver
        if receiver is None or not self.tunnel:
            if isinstance(self._body, UntilClose) and receiver is not None:
                receiver.response_body(b"", True)
            return False
        receiver.upstream_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._kept.open -= 1
        if self.receiver is None:
            if self in self._kept.idle:
                self._kept.idle.remove(self)
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
