"""A request as its instance gets it: under the name that the model has there, in a protocol that is spoken
there, with the usage of streams asked for."""

from modelyard_gateway.adapters.upstream import UpstreamConnection
from modelyard_gateway.domain import anthropic_answer, stream_usage
from modelyard_gateway.domain.anthropic_request import CHAT, COUNT_TOKENS, MESSAGES, chat_of
from modelyard_gateway.domain.framing import CRLF, chunk
from modelyard_gateway.domain.headers import REQUEST_ID
from modelyard_gateway.domain.long_body import ADDED, AskedAtTheEnd
from modelyard_gateway.domain.model_name import Found, echo_of, renamed
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.request_head import RequestHead
from modelyard_gateway.domain.response_head import ResponseHead
from modelyard_gateway.domain.slot import Slot
from modelyard_gateway.domain.stream_usage import UsageHidden
from modelyard_gateway.domain.table import Route
from modelyard_gateway.handlers.asking import Asking

ANTHROPIC = (MESSAGES, COUNT_TOKENS)
KEPT_BYTES = 256 * 1024
"""Of a body that may have to be sent to another target after its instance has begun to get it."""


class Sending(Asking):
    __slots__ = ()

    def _send(self, upstream: UpstreamConnection, slot: Slot, now: float) -> None:
        """Head and body in one write, which is a call to the system."""
        try:
            head, body = self._message_for(slot)
        except Refusal as refusal:
            upstream.abort()
            self._refuse(refusal)
            return
        plane, record = self._plane, self.record
        self._upstream = upstream
        record.sent_to = slot.instance_id or 0
        plane.on_sent(record)
        upstream.begin(self, head.method)
        lines = slot.lines if upstream.reused else slot.opening
        end = CRLF if head.length >= 0 else self._framing(body)
        if self._chunked:
            body = chunk(body, False)
        text = b"".join((head.message, lines, REQUEST_ID, record.request_id, CRLF, end, body))
        plane.outbox.put(upstream.transport, text)
        record.sent_s = now - self._began
        self.deadline = now + self.limits.first_byte_s
        if self.limits.comment_s and not self.comment_at:
            self.comment_at = now + self.limits.comment_s
        if not self.request_done:
            if self.route is None or not self.route.falls_back:
                self._body = None
            self._client.hold(False)

    def _message_for(self, slot: Slot) -> tuple[RequestHead, bytes | bytearray]:
        """Raises `Refusal` if it cannot be said in the protocol that is spoken there."""
        head, found, body = self.head, self._found, self._body or b""
        self._ending = None
        if found is not None and not self.proxied:
            length, path = len(body), head.meaning.target
            self._translates = path in ANTHROPIC and not slot.speaks(path)
            if self._translates:
                served = slot.served_as(self.adapter) or found.name
                outside = slot.base is not None
                body = chat_of(bytes(body), served, counting=path == COUNT_TOKENS, outside=outside)
                head = head.retargeted(CHAT)
            else:
                body = self._body_for(slot, found, body, path)
            if len(body) != length and head.length >= 0:
                head = head.with_length(head.length + len(body) - length)
            if not self.request_done and path in stream_usage.PATHS:
                self._ending = AskedAtTheEnd()
                body = self._ending.passes(body, False)
                if head.length >= 0:
                    head = head.with_length(head.length + len(ADDED))
        return (head if slot.base is None else head.for_provider(slot.base)), body

    def _body_for(self, slot: Slot, found: Found, body: bytes | bytearray, path: bytes) -> bytes | bytearray:
        """With the name that the instance knows the model by; of a stream, its usage is asked for."""
        served, beside = slot.served, b""
        if self.adapter is not None:
            served, beside = slot.served_as(self.adapter), slot.asked_beside(self.adapter)
        if served is not None and (beside or served != found.name):
            body = renamed(bytes(body), found, served, beside)
            self._echo = echo_of(served, found.name)
        if self.request_done and b'"stream"' in body and path in stream_usage.PATHS:
            asking = stream_usage.asking_for_usage(bytes(body))
            if asking is not None:
                self._rewriting = UsageHidden()
                return asking
        return body

    def _needs_whole(self, route: Route) -> bool:
        """What may have to be translated must be there as a whole."""
        path = self.head.meaning.target
        if path not in ANTHROPIC or self.proxied:
            return False
        return not self._plane.balancer.speak(route, path, self._plane.clock())

    def _translated(self, head: ResponseHead) -> ResponseHead:
        """The head for the client, whose answer's body is translated as it passes."""
        name = "" if self._found is None else self._found.name
        ident = self.record.request_id.decode()
        if head.event_stream and head.status < 400:
            self._rewriting = anthropic_answer.Stream(name, ident)
        else:
            counting = self.head.meaning.target == COUNT_TOKENS
            self._rewriting = anthropic_answer.Whole(head.status, name, ident, counting=counting)
        return head.rewritten()

    def _framing(self, body: bytes | bytearray) -> bytes:
        """The end of a head that says no length."""
        if self.websocket:
            return b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        self._chunked = self.head.chunked and not self.request_done
        if self._chunked:
            return b"Transfer-Encoding: chunked\r\n\r\n"
        return b"Content-Length: %d\r\n\r\n" % len(body) if self.head.chunked else CRLF

    def _forward(self, upstream: UpstreamConnection, data: bytes, done: bool) -> None:
        self.record.bytes_in += len(data)
        now = self._plane.clock()
        self.deadline = now + self.limits.first_byte_s
        if self._slot is not None:
            self._slot.heard_at = now
        if self._body is not None:
            self._body = bytes(self._body) + data if len(self._body) < KEPT_BYTES else None
        if self._ending is not None:
            data = self._ending.passes(data, done)
            if self._ending.asked and not self.responding:
                self._rewriting = UsageHidden()
        if self._chunked:
            data = chunk(data, done)
        if data:
            self._plane.outbox.put(upstream.transport, data)
