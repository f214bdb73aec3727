"""An answer on its way to the client, as it came but for names, and counted as it passes."""

from modelyard_gateway.domain.response_head import ResponseHead
from modelyard_gateway.domain.slot import Slot
from modelyard_gateway.domain.stream_usage import UsageHidden
from modelyard_gateway.domain.usage import MARK, UsageSeen
from modelyard_gateway.handlers.sending import Sending

EVENT_END = b"\n\n"


class Passing(Sending):
    __slots__ = ()

    def _begin_answer(self, head: ResponseHead, slot: Slot, now: float) -> None:
        self.responding = True
        self._body = None
        self.comment_at = 0.0
        self._streams = head.event_stream
        record = self.record
        record.status = head.status
        record.instance_id = slot.instance_id
        record.provider_id = slot.provider_id
        record.first_byte_s = now - self._began

    def response_body(self, data: bytes, done: bool, framed: bytes | None = None) -> None:
        """`framed` is the same as it came, if that is a whole chunk."""
        now = self._plane.clock()
        if self._slot is not None:
            self._slot.heard_at = now
        between = self._between_events
        if between is not None and framed is not None and data.endswith(EVENT_END) and MARK not in data:
            between.events += data.count(b"data:")  # what most chunks are: whole events that say no usage
            self.record.bytes_out += len(data)
            self.deadline = now + self.limits.idle_s
            self._client.pass_on(data, framed)
            return
        passed = self._passes(data if self._echo is None else self._echo.put(data), now, done)
        if framed is not None and passed is data:
            self._client.pass_on(data, framed)
        else:
            self._client.write(passed, done, now)
        self._between_events = self._usage if data.endswith(EVENT_END) and self._passes_events() else None

    def _passes_events(self) -> bool:
        """Whether events pass as they are, but for that of the usage."""
        as_they_are = self._rewriting is None or type(self._rewriting) is UsageHidden
        return self._streams and self._echo is None and as_they_are

    def _echoed(self, head: ResponseHead, body: bytes, done: bool) -> tuple[ResponseHead, bytes]:
        """The beginning of an answer with the model's name as the client said it; an answer whose length is
        said, and that comes in pieces, stays as it is."""
        if self._echo is None or (head.length >= 0 and not done):
            self._echo = None
            return head, body
        body = self._echo.put(body)
        return (head.with_length(len(body)) if head.length >= 0 else head), body

    def _passes(self, data: bytes, now: float, done: bool) -> bytes:
        """What the client gets of it."""
        usage = self._usage
        if usage is None:
            usage = self._usage = UsageSeen()
        if self._streams and data and self.record.first_token_s is None:
            self.record.first_token_s = now - self._began
        usage.pass_by(data)
        self.record.bytes_out += len(data)
        if done:
            self.record.usage = usage.usage()
            self._end(now)
        else:
            self.deadline = now + self.limits.idle_s
        return data if self._rewriting is None else self._rewriting.passes(data, done)

    def _end(self, now: float) -> None:
        """The answer is whole."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if self.request_done:
                upstream.release(now)
            else:
                upstream.abort()
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.in_flight -= 1
            slot.tunnels -= self._tunnelling
            if self._plane.waiting.queues:
                self._plane.waiting.serve(now)
        self._close_books(None, now)
