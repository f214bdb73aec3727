"""One client's connection: requests in, in order, answers out. HTTP/1.1 as RFC 9112 has it."""

import asyncio
from typing import TYPE_CHECKING

from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.framing import Body, Malformed
from modelyard_gateway.domain.heads import (
    BODILESS,
    HEAD_END,
    RequestHead,
    ResponseHead,
    bad_http,
    parse_request,
    sane_request_id,
)
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.handlers.exchange import Exchange
from modelyard_gateway.routes.answers import Answer, refusal_answer, status_line

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
        elif self._lingering:
            pass
        else:
            self._unread = self._unread + data if self._unread else data
            self._read()

    def _read(self) -> None:
        if self._reading:
            return
        self._reading = True
        try:
            while self._unread and not self._lingering and not self._tunnel:
                if self._body is not None:
                    self._read_body(self._body)
                elif self._exchange is not None:
                    if len(self._unread) > PIPELINED_BYTES:
                        self.transport.pause_reading()
                    return
                elif not self._read_head():
                    return
        finally:
            self._reading = False

    def _read_head(self) -> bool:
        """False if more of it must come first."""
        data, front = self._unread, self._front
        if data.startswith(b"\r\n"):
            data = self._unread = data[2:]  # RFC 9112 section 2.2
        self._head, self.request_id = None, b""
        end = data.find(HEAD_END, 0, front.limits.max_head_bytes)
        if end < 0:
            if len(data) >= front.limits.max_head_bytes:
                self._closing = True
                self.refuse(refusals.head_too_large(front.limits.max_head_bytes))
            elif not self._in_head:
                self._in_head = True
                self.deadline = front.clock() + front.limits.head_s
            return False
        self._in_head = False
        self.deadline = 0.0
        self._unread = data[end + 4 :]
        try:
            head = self._head = parse_request(data[: end + 4])
        except Refusal as refusal:
            self._closing = True
            self.refuse(refusal)
            return False
        self.request_id = sane_request_id(head.fields.get(b"x-request-id")) or front.new_id()
        self._begin(head)
        return True

    def _begin(self, head: RequestHead) -> None:
        self._closing = head.closes()
        body = head.body()
        self._body = None if body.done else body
        try:
            opened = self._front.open(self, head)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        if isinstance(opened, Answer):
            self._answer(opened)
            return
        self._exchange = opened
        if self._body is None:
            opened.request_body([], True)
        elif self._unread:
            self._read_body(self._body)
        else:
            self.deadline = self._front.clock() + self._front.limits.client_idle_s
            if b"expect" in head.fields and head.http11:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # RFC 9110 section 10.1.1
            opened.request_body([], False)

    def _read_body(self, body: Body) -> None:
        parts: list[bytes] = []
        data, self._unread = self._unread, b""
        try:
            self._unread = body.feed(data, parts)
        except Malformed as error:
            self._fail(bad_http(str(error)))
            return
        if body.done:
            self._body = None
            self.deadline = 0.0
        else:
            self.deadline = self._front.clock() + self._front.limits.client_idle_s
        if self._exchange is not None:
            self._exchange.request_body(parts, body.done)

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

    def respond(self, head: ResponseHead, extra: bytes) -> None:
        request = self._head
        length = head.fields.get(b"content-length")
        framing = b""
        self._chunked = False
        if length is not None:
            framing = b"Content-Length: %b\r\n" % length.strip()
        elif head.status in BODILESS or request is None or request.method == b"HEAD":
            pass
        elif request.http11:
            self._chunked = True
            framing = b"Transfer-Encoding: chunked\r\n"
        else:
            self._closing = True
        self._write_head(head.status, b"".join(head.kept), extra + framing)

    def _write_head(self, status: int, lines: bytes, more: bytes) -> None:
        front = self._front
        if front.draining or self._body is not None:
            self._closing = True
        self.transport.write(
            b"%b%b%b%bX-Request-Id: %b\r\n%b\r\n" % (
                status_line(status), front.date_line, lines, more, self.request_id,
                b"Connection: close\r\n" if self._closing else b"",
            )
        )  # fmt: skip

    def write(self, parts: list[bytes]) -> None:
        if self._chunked:
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        elif len(parts) == 1:
            self.transport.write(parts[0])
        else:
            self.transport.writelines(parts)

    def finish(self) -> None:
        if self._chunked:
            self.transport.write(b"0\r\n\r\n")
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
        self._write_head(head.status, b"".join(head.kept), b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
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
        bodiless = self._head is not None and self._head.method == b"HEAD"
        self._write_head(answer.status, answer.lines, b"Content-Length: %d\r\n" % len(answer.body))
        if not bodiless:
            self.transport.write(answer.body)
        self._ended()

    def _drop_body(self) -> None:
        """If the rest of the request is here already, the connection can be used again."""
        if self._body is not None and self._unread:
            try:
                self._unread = self._body.feed(self._unread, [])
            except Malformed:
                return
            if self._body.done:
                self._body = None

    def _ended(self) -> None:
        self._exchange = None
        self._in_head = False
        if self._closing or self._front.draining:
            if self._body is None and self._head is not None:
                self.transport.close()
            else:
                self._linger()
            return
        self.deadline = self._front.clock() + self._front.limits.keepalive_s
        self.hold(False)
        if self._unread:
            self._read()

    def _linger(self) -> None:
        self._lingering = True
        self._body, self._unread = None, b""
        self.deadline = self._front.clock() + LINGER_S
        self.hold(False)
        if not self.transport.is_closing():
            self.transport.write_eof()

    def _fail(self, refusal: Refusal) -> None:
        """The request went wrong amid its body."""
        exchange, self._exchange = self._exchange, None
        self._closing = True
        responding = exchange is not None and exchange.responding
        if exchange is not None:
            exchange.client_gone()
        if responding:
            self.cut()
        else:
            self.refuse(refusal)

    # --- time

    def sweep(self, now: float) -> None:
        """To be called a few times a second."""
        exchange = self._exchange
        if exchange is not None and (0.0 < exchange.deadline <= now or 0.0 < exchange.total_until <= now):
            exchange.expired()
        elif 0.0 < self.deadline <= now:
            if self._body is not None and not self._lingering:
                self._fail(refusals.too_slow("body"))
            elif self._in_head:
                self._closing = True
                self.refuse(refusals.too_slow("headers"))
            else:
                self.transport.abort()

    def drain(self) -> None:
        """No further request comes in here."""
        if self._exchange is None and not self._lingering:
            self.transport.close()
