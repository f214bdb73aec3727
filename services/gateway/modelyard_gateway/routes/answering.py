"""What a client is told, and how its connection goes on behind it. HTTP/1.1 as RFC 9112 has it."""

import asyncio
from typing import TYPE_CHECKING

from modelyard_gateway.domain.framing import Body, Malformed
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.request_head import RequestHead
from modelyard_gateway.domain.response_head import ResponseHead, status_line
from modelyard_gateway.handlers.exchange import Exchange
from modelyard_gateway.routes.answers import Answer, error_event, refusal_answer
from modelyard_gateway.routes.later import Later

if TYPE_CHECKING:
    from modelyard_gateway.routes.front import Front

LINGER_S = 2.0
"""For how long what a refused client still sends is read and dropped, so that it gets to see the answer
(RFC 9112 section 9.6)."""


class Answering(asyncio.Protocol):
    """The side of a connection that writes; what it reads is its subclass's."""

    __slots__ = (
        "_body", "_chunked", "_closing", "_early", "_exchange", "_front", "_head", "_in_head", "_lingering",
        "_reading", "_tunnel", "_unread", "deadline", "request_id", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, front: "Front") -> None:
        self._front = front
        self._exchange: Exchange | Later | None = None
        self._head: RequestHead | None = None
        """Of the request that is being answered."""
        self._body: Body | None = None
        """Of the request that is being read; None between requests."""
        self._unread = b""
        self._chunked = False
        self._closing = False
        self._early = False
        """The head of a stream is out, though its instance has not answered yet."""
        self._in_head = False
        self._lingering = False
        self._reading = False
        self._tunnel = False
        self.request_id = b""
        self.deadline = 0.0
        """On the loop's clock: for a request's head, or its body; 0 for none."""

    def respond(self, head: ResponseHead, extra: bytes, body: bytes, done: bool) -> None:
        """The head and what has come of the body, in one write: each is a call to the system."""
        request = self._head
        if self._early:
            self._respond_late(head, body, done)
            return
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

    def comment(self) -> None:
        """A comment of a stream that has not begun; the first one begins the answer (WHATWG HTML 9.2)."""
        text = b""
        if not self._early:
            self._early = self._chunked = True
            start = status_line(200) + b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
            text = self._head_text(start, b"Transfer-Encoding: chunked\r\n")
        self.transport.write(text + self._chunk(b": still working\n\n", False))

    def _respond_late(self, head: ResponseHead, body: bytes, done: bool) -> None:
        """The answer's head is out already: an error becomes an event."""
        if head.status == 200:
            self.write(body, done)
        elif done:
            self.write(error_event(body, b"" if self._head is None else self._head.path), True)
        else:
            self.cut()

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
        answer = refusal_answer(refusal, path, self.request_id)
        if self._early:
            self.write(error_event(answer.body, path), True)
        else:
            self.answer(answer)

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

    def answer(self, answer: Answer) -> None:
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
        self._early = False
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

    def _read(self) -> None:
        raise NotImplementedError
