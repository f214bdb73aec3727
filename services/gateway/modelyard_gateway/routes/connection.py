"""One client's connection: requests in, in order, answers out. HTTP/1.1 as RFC 9112 has it."""

import asyncio
from typing import TYPE_CHECKING

from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.framing import Body, Chunked, Length, Malformed
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.request_head import HEAD_END, RequestHead, bad_http
from modelyard_gateway.domain.response_head import ResponseHead, status_line
from modelyard_gateway.handlers.exchange import Exchange
from modelyard_gateway.routes.answers import Answer, refusal_answer

if TYPE_CHECKING:
    from modelyard_gateway.routes.front import Front

LINGER_S = 2.0
"""For how long what a refused client still sends is read and dropped, so that it gets to see the answer
(RFC 9112 section 9.6)."""
PIPELINED_BYTES = 64 * 1024


class ClientConnection(asyncio.Protocol):
    __slots__ = (
        "_body", "_chunked", "_closing", "_exchange", "_front", "_head", "_in_head", "_lingering", "_reading",
        "_tunnel", "_unread", "deadline", "request_id", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, front: "Front") -> None:
        self._front = front
        self._exchange: Exchange | None = None
        self._head: RequestHead | None = None
        """Of the request that is being answered."""
        self._body: Body | None = None
        """Of the request that is being read; None between requests."""
        self._unread = b""
        self._chunked = False
        self._closing = False
        self._in_head = False
        self._lingering = False
        self._reading = False
        self._tunnel = False
        self.request_id = b""
        self.deadline = 0.0
        """On the loop's clock: for a request's head, or its body; 0 for none."""

    # --- from the network

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._front.connections.add(self)
        self.deadline = self._front.clock() + self._front.limits.head_s

    def data_received(self, data: bytes) -> None:
        if self._tunnel and self._exchange is not None:
            self._exchange.from_tunnel(data)
        elif not self._lingering:
            self._unread = self._unread + data if self._unread else data
            if not self._reading:
                self._read()

    def _read(self) -> None:
        self._reading = True
        while self._unread and not self._lingering and not self._tunnel:
            if self._body is not None:
                self._read_body(self._body)
            elif self._exchange is not None:
                if len(self._unread) > PIPELINED_BYTES:
                    self.transport.pause_reading()
                break
            elif not self._read_head():
                break
        self._reading = False

    def _read_head(self) -> bool:
        """False if more of it must come first."""
        data, front = self._unread, self._front
        end = data.find(HEAD_END, 0, front.limits.max_head_bytes) + 4
        if end < 4:
            return self._incomplete_head(data)
        try:
            head = front.heads.read(data[:end])
        except Refusal as refusal:
            self._head, self.request_id = None, b""
            self._refuse_and_close(refusal)
            return False
        self._head = head
        self.request_id = head.request_id or front.new_id()
        self._closing = head.closes
        self._in_head = False
        self.deadline = 0.0
        body = data[end:]
        if len(body) == head.length or (head.length <= 0 and not head.chunked):
            self._unread = b"" if head.length > 0 else body
            self._begin(head, body if head.length > 0 else b"", True)
        else:
            self._body = Chunked(strict=True) if head.chunked else Length(head.length)
            self._unread = body
            self._begin(head, b"", False)
        return True

    def _incomplete_head(self, data: bytes) -> bool:
        if data.startswith(b"\r\n"):
            self._unread = data[2:]  # RFC 9112 section 2.2
            return bool(self._unread)
        limits = self._front.limits
        self._head, self.request_id = None, b""
        if len(data) >= limits.max_head_bytes:
            self._refuse_and_close(refusals.head_too_large(limits.max_head_bytes))
        elif not self._in_head:
            self._in_head = True
            self.deadline = self._front.clock() + limits.head_s
        return False

    def _begin(self, head: RequestHead, body: bytes, done: bool) -> None:
        try:
            opened = self._front.open(self, head)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        if isinstance(opened, Answer):
            self._answer(opened)
            return
        self._exchange = opened
        if done:
            opened.request_body(body, True)
        elif self._unread and self._body is not None:
            self._read_body(self._body)
        else:
            self.deadline = self._front.clock() + self._front.limits.client_idle_s
            if b"expect" in head.fields and head.http11:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # RFC 9110 section 10.1.1
            opened.request_body(b"", False)

    def _read_body(self, body: Body) -> None:
        try:
            data, self._unread = body.feed(self._unread)
        except Malformed as error:
            self._unread = b""
            self._fail(bad_http(str(error)))
            return
        if body.done:
            self._body = None
            self.deadline = 0.0
        else:
            self.deadline = self._front.clock() + self._front.limits.client_idle_s
        if self._exchange is not None:
            self._exchange.request_body(data, body.done)

    def eof_received(self) -> bool:
        """A client that closes its side is gone, but for a tunnel's: nobody computes for nobody."""
        if self._tunnel and self._exchange is not None:
            self._exchange.client_half_closed()
            return True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.closed(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client_full(True)

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client_full(False)

    # --- from the exchange

    def respond(self, head: ResponseHead, extra: bytes, body: bytes, done: bool) -> None:
        """The head and what has come of the body, in one write: each is a call to the system."""
        request = self._head
        self._chunked = False
        if head.length < 0 and request is not None and not head.bodiless(request.method):
            if request.http11:
                self._chunked = True
                extra += b"Transfer-Encoding: chunked\r\n"
            else:
                self._closing = True
        text = self._head_text(head.message, extra)
        if self._chunked:
            text += self._chunk(body, done)
        else:
            text += body
        self.transport.write(text)
        if done:
            self._ended()

    def _head_text(self, start: bytes, more: bytes) -> bytes:
        front = self._front
        if front.draining or self._body is not None:
            self._closing = True
        close = b"Connection: close\r\n" if self._closing else b""
        return b"%b%b%bX-Request-Id: %b\r\n%b\r\n" % (start, front.date_line, more, self.request_id, close)

    def _chunk(self, data: bytes, done: bool) -> bytes:
        end = b"0\r\n\r\n" if done else b""
        return b"%x\r\n%b\r\n%b" % (len(data), data, end) if data else end

    def write(self, data: bytes, done: bool) -> None:
        if self._chunked:
            data = self._chunk(data, done)
        if data:
            self.transport.write(data)
        if done:
            self._ended()

    def refuse(self, refusal: Refusal) -> None:
        """Before an answer was begun."""
        path = b"" if self._head is None else self._head.path
        if not self.request_id:
            self.request_id = self._front.new_id()
        self._answer(refusal_answer(refusal, path, self.request_id))

    def cut(self) -> None:
        """The answer stays unfinished, which the client must be able to tell from a whole one."""
        self._exchange = None
        if self._head is not None and self._head.http11:
            self.transport.close()
        else:
            self.transport.abort()

    def hold(self, full: bool) -> None:
        if self.transport.is_closing():
            return
        if full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def tunnel(self, head: ResponseHead) -> None:
        self._tunnel = True
        self._closing = False
        lines = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        self.transport.write(self._head_text(head.message, lines))
        data, self._unread = self._unread, b""
        if data and self._exchange is not None:
            self._exchange.from_tunnel(data)

    def tunnelled(self, data: bytes) -> None:
        self.transport.write(data)

    def half_close(self) -> None:
        self.transport.write_eof()

    # --- the end of a request

    def _answer(self, answer: Answer) -> None:
        self._drop_body()
        lines = b"%bContent-Length: %d\r\n" % (answer.lines, len(answer.body))
        head = self._head_text(status_line(answer.status), lines)
        bodiless = self._head is not None and self._head.method == b"HEAD"
        self.transport.write(head if bodiless else head + answer.body)
        self._ended()

    def _drop_body(self) -> None:
        """If the rest of the request is here already, the connection can be used again."""
        if self._body is not None and self._unread:
            try:
                _, self._unread = self._body.feed(self._unread)
            except Malformed:
                return
            if self._body.done:
                self._body = None

    def _ended(self) -> None:
        self._exchange = None
        if self._closing or self._front.draining:
            self._close()
            return
        self.deadline = self._front.clock() + self._front.limits.keepalive_s
        if self._unread and not self._reading:
            self.hold(False)
            self._read()

    def _close(self) -> None:
        if self._body is None and self._head is not None:
            self.transport.close()
            return
        self._lingering = True
        self._body, self._unread = None, b""
        self.deadline = self._front.clock() + LINGER_S
        self.hold(False)
        if not self.transport.is_closing():
            self.transport.write_eof()

    def _refuse_and_close(self, refusal: Refusal) -> None:
        self._closing = True
        self.refuse(refusal)

    def _fail(self, refusal: Refusal) -> None:
        """The request went wrong amid its body."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()
            if exchange.responding:
                self.cut()
                return
        self._refuse_and_close(refusal)

    # --- time

    def sweep(self, now: float) -> None:
        """To be called a few times a second."""
        exchange = self._exchange
        if exchange is not None and (0.0 < exchange.deadline <= now or 0.0 < exchange.total_until <= now):
            exchange.expired()
        elif 0.0 < self.deadline <= now:
            if self._body is not None:
                self._fail(refusals.too_slow("body"))
            elif self._in_head:
                self._in_head = False
                self._refuse_and_close(refusals.too_slow("headers"))
            else:
                self.transport.abort()

    def drain(self) -> None:
        """No further request comes in here."""
        if self._exchange is None and not self._lingering:
            self.transport.close()
