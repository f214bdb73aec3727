"""One client's connection: requests in, in order, answers out. HTTP/1.1 as RFC 9112 has it."""

import asyncio

from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.framing import Body, Chunked, Length, Malformed
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.request_head import HEAD_END, RequestHead, bad_http
from modelyard_gateway.routes.answering import Answering
from modelyard_gateway.routes.answers import Answer

PIPELINED_BYTES = 64 * 1024


class ClientConnection(Answering):
    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._front.connections.add(self)
        self.deadline = self._front.clock() + self._front.limits.head_s

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None and not self._unread and not self._lingering:
            end = data.find(HEAD_END) + 4
            head = self._front.heads.find(data[:end])
            if head is not None and head.length == len(data) - end:
                self._begin(head, data[end:], True)  # as most come: in one piece, under a head that is known
                return
        if self._tunnel and exchange is not None:
            exchange.from_tunnel(data)
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
        front = self._front
        self._head = head
        self.request_id = head.request_id or front.new_id()
        self._closing = head.closes
        self._in_head = False
        self.deadline = 0.0
        try:
            opened = front.exchange(self, head) if head.infers else front.open(self, head)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        if isinstance(opened, Answer):
            self.answer(opened)
            return
        self._exchange = opened
        if done:
            opened.request_body(body, True)
        elif self._unread and self._body is not None:
            self._read_body(self._body)
        else:
            self.deadline = front.clock() + front.limits.client_idle_s
            if b"expect" in head.fields and head.http11:
                self._outbox.put(self.transport, b"HTTP/1.1 100 Continue\r\n\r\n")  # RFC 9110 section 10.1.1
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

    def sweep(self, now: float) -> None:
        """To be called a few times a second."""
        exchange = self._exchange
        if exchange is not None and (0.0 < exchange.deadline <= now or 0.0 < exchange.total_until <= now):
            exchange.expired()
        elif exchange is not None and 0.0 < exchange.comment_at <= now:
            exchange.comment(now)
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
