"""What a client is told, and how its connection goes on behind it. HTTP/1.1 as RFC 9112 has it."""

import asyncio
from typing import TYPE_CHECKING

from modelyard_gateway.domain.framing import Body, Malformed, chunk
from modelyard_gateway.domain.headers import REQUEST_ID
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.request_head import HEAD_END, RequestHead
from modelyard_gateway.domain.response_head import ResponseHead, status_line
from modelyard_gateway.handlers.exchange import Exchange
from modelyard_gateway.routes.answers import Answer, error_event, refusal_answer
from modelyard_gateway.routes.later import Later

if TYPE_CHECKING:
    from modelyard_gateway.routes.front import Front

CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"\r\nConnection: close\r\n\r\n"
"""Ends a head whose last line has no end yet, as `HEAD_END` does."""
LINGER_S = 2.0
"""For how long what a refused client still sends is read and dropped, so that it gets to see the answer
(RFC 9112 section 9.6)."""


class Answering(asyncio.Protocol):
    """The side of a connection that writes; what it reads is its subclass's."""

    __slots__ = (
        "_body", "_chunked", "_closing", "_early", "_exchange", "_front", "_head", "_in_head", "_lingering",
        "_outbox", "_reading", "_tunnel", "_unread", "deadline", "request_id", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, front: "Front") -> None:
        self._front = front
        self._outbox = front.outbox
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

    def respond(
        self, head: ResponseHead, said: bytes, extra: bytes, body: bytes, done: bool, now: float
    ) -> None:
        """The head and what has come of the body, in one write: each is a call to the system. `said` and
        `extra` are header lines."""
        request, front = self._head, self._front
        if self._early:
            self._respond_late(head, body, done, now)
            return
        self._chunked = False
        if head.length < 0 and request is not None and not head.bodiless(request.method):
            if request.http11:
                self._chunked = True
                extra += CHUNKED
                body = chunk(body, done)
            else:
                self._closing = True
        if front.draining or self._body is not None:
            self._closing = True
        end = CLOSE if self._closing else HEAD_END
        text = (head.message, front.date_line, said, extra, REQUEST_ID, self.request_id, end, body)
        self._outbox.put(self.transport, b"".join(text))
        if done:
            self._ended(now)

    def pass_on(self, data: bytes, framed: bytes) -> None:
        """A chunk of the answer, which may go on as it came."""
        self._outbox.put(self.transport, framed if self._chunked else data)

    def comment(self) -> None:
        """A comment of a stream that has not begun; the first one begins the answer (WHATWG HTML 9.2)."""
        text = b""
        if not self._early:
            self._early = self._chunked = True
            start = status_line(200) + b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
            text = self._head_text(start, CHUNKED)
        self._outbox.put(self.transport, text + chunk(b": still working\n\n", False))

    def _respond_late(self, head: ResponseHead, body: bytes, done: bool, now: float) -> None:
        """The answer's head is out already: an error becomes an event."""
        if head.status == 200:
            self.write(body, done, now)
        elif done:
            self.write(error_event(body, b"" if self._head is None else self._head.path), True, now)
        else:
            self.cut()

    def _head_text(self, start: bytes, more: bytes) -> bytes:
        front = self._front
        if front.draining or self._body is not None:
            self._closing = True
        end = CLOSE if self._closing else HEAD_END
        return b"".join((start, front.date_line, more, REQUEST_ID, self.request_id, end))

    def write(self, data: bytes, done: bool, now: float) -> None:
        if self._chunked:
            data = chunk(data, done)
        if data:
            self._outbox.put(self.transport, data)
        if done:
            self._ended(now)

    def refuse(self, refusal: Refusal) -> None:
        """Before an answer was begun."""
        path = b"" if self._head is None else self._head.path
        if not self.request_id:
            self.request_id = self._front.new_id()
        answer = refusal_answer(refusal, path, self.request_id)
        if self._early:
            self.write(error_event(answer.body, path), True, self._front.clock())
        else:
            self.answer(answer)

    def cut(self) -> None:
        """The answer stays unfinished, which the client must be able to tell from a whole one."""
        self._exchange = None
        self._outbox.flush()
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
        self._outbox.put(self.transport, self._head_text(head.message, lines))
        data, self._unread = self._unread, b""
        if data and self._exchange is not None:
            self._exchange.from_tunnel(data)

    def tunnelled(self, data: bytes) -> None:
        self._outbox.put(self.transport, data)

    def half_close(self) -> None:
        self._outbox.flush()
        self.transport.write_eof()

    def answer(self, answer: Answer) -> None:
        self._drop_body()
        lines = b"%bContent-Length: %d\r\n" % (answer.lines, len(answer.body))
        head = self._head_text(status_line(answer.status), lines)
        bodiless = self._head is not None and self._head.method == b"HEAD"
        self._outbox.put(self.transport, head if bodiless else head + answer.body)
        self._ended(self._front.clock())

    def _drop_body(self) -> None:
        """If the rest of the request is here already, the connection can be used again."""
        if self._body is not None and self._unread:
            try:
                _, self._unread = self._body.feed(self._unread)
            except Malformed:
                return
            if self._body.done:
                self._body = None

    def _ended(self, now: float) -> None:
        self._exchange = None
        self._early = False
        if self._closing or self._front.draining:
            self._close()
            return
        self.deadline = now + self._front.limits.keepalive_s
        if self._unread and not self._reading:
            self.hold(False)
            self._read()

    def _close(self) -> None:
        self._outbox.flush()
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
