"""One request, from its admission to its last byte: finds its model, carries the request to an
instance and the answer back.

Nothing here waits: the connections on both sides call when something has come.
"""

from modelyard_gateway.adapters.upstream import SWITCHING
from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.model_name import (
    Found,
    Scan,
    asks_for_stream,
    first_model,
    missing_in,
    scan_for,
)
from modelyard_gateway.domain.proxy_path import deprecation
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.response_head import ResponseHead
from modelyard_gateway.domain.slot import Slot
from modelyard_gateway.domain.stream_usage import PATHS
from modelyard_gateway.domain.table import Route
from modelyard_gateway.domain.usage import usage_in
from modelyard_gateway.handlers.passing import Passing

UNWELCOME = 400
KEY_REFUSED = frozenset({401, 403})
RETRIED = frozenset({502, 503})
"""The instance says that it did not do it."""
SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})
"""Idempotent (RFC 9110 section 9.2.2): may be sent again though it may have been begun."""
FULL_BYTES = 256 * 1024
"""Of a body whose instance is still to be reached, or that must be whole to ask for the usage of its
stream, that much is read ahead."""


class Exchange(Passing):
    """The events of one request, from both of its sides."""

    __slots__ = ()

    def request_body(self, data: bytes, done: bool) -> None:
        """To be called at least once, also for a request without a body."""
        self.request_done = done
        if self._upstream is not None:
            self._forward(self._upstream, data, done)
            return
        self.record.bytes_in += len(data)
        if not self._body:
            self._body = data
        elif data:
            if not isinstance(self._body, bytearray):
                self._body = bytearray(self._body)
            self._body += data
        if self.route is None:
            if done or len(self._body) > FULL_BYTES or self.head.meaning.target not in PATHS:
                self._look(self._body)
        elif self.record.route_id is None:
            self._start(self.route, self._plane.clock())
        elif len(self._body) > FULL_BYTES:
            self._client.hold(True)

    def client_gone(self) -> None:
        """Nobody waits for the answer."""
        self._leave_upstream()
        self._close_books("client_closed", self._plane.clock())

    def client_full(self, full: bool) -> None:
        if self._upstream is not None:
            if full:
                self._upstream.transport.pause_reading()
            else:
                self._upstream.transport.resume_reading()

    def from_tunnel(self, data: bytes) -> None:
        if self._upstream is not None:
            self.deadline = self._plane.clock() + self.limits.idle_s
            self._plane.outbox.put(self._upstream.transport, data)

    def comment(self, now: float) -> None:
        """The client hears that its stream still runs, if it asked for one and nothing has come yet."""
        self.comment_at = 0.0
        if not self.responding and self.head.http11 and asks_for_stream(self._body):
            self.comment_at = now + self.limits.comment_s
            self._client.comment()

    def client_half_closed(self) -> None:
        if self._upstream is not None and self._upstream.transport.can_write_eof():
            self._plane.outbox.flush()
            self._upstream.transport.write_eof()
        self._side_done()

    def expired(self) -> None:
        """The deadline has passed."""
        if self._queued:
            name, after_s = self.record.model or "", self.limits.retry_after_s
            self._give_up(refusals.queue_timeout(name, after_s))
            return
        over = 0.0 < self.total_until <= self._plane.clock()
        if self._slot is not None:
            self._failed(self._slot, "timeout")
        if self.responding:
            self._leave_upstream()
            self._close_books("instance_timeout", self._plane.clock())
            self._client.cut()
        elif over:
            self._refuse(refusals.timed_out(self.record.model or ""))
        else:
            self._give_up(refusals.timed_out(self.record.model or ""))

    def _look(self, body: bytes | bytearray) -> None:
        found = self._found
        if found is None and self.request_done and self._scan is None:
            found = first_model(bytes(body))
        try:
            found = found or self._scanned(body)
            if found is None:
                return
            self._found = found
            route = self._route(found.name)
            if not self.request_done and self._needs_whole(route):
                self._wait_for(body)
                return
        except Refusal as refusal:
            self._refuse(refusal)
        else:
            self._start(route, self._plane.clock())

    def _wait_for(self, body: bytes | bytearray) -> None:
        if len(body) > self._plane.limits.max_scan_bytes:
            raise refusals.too_large(self._plane.limits.max_scan_bytes)

    def _scanned(self, body: bytes | bytearray) -> Found | None:
        scan = self._scan = self._scan or scan_for(self.head.fields.get(b"content-type"))
        found = scan.find(body)
        if found is None or found.end > self._plane.limits.max_scan_bytes:
            self._not_found(scan, body)
            return None
        if scan.named_twice(body, found):
            raise refusals.bad_request("The request names 'model' twice.", "invalid_json", param="model")
        return found

    def _not_found(self, scan: Scan, text: bytes | bytearray) -> None:
        if len(text) > self._plane.limits.max_scan_bytes:
            raise refusals.too_large(self._plane.limits.max_scan_bytes)
        if self.request_done:
            raise missing_in(bytes(text), scan)

    def _route(self, name: str) -> Route:
        gate = self._plane.gate
        if not self.proxied:
            meant = gate.adapter(self.key, name) if ":" in name else None
            if meant is None:
                return gate.route(self.key, name)
            self.adapter = meant[1]
            return meant[0]
        route = gate.proxied_route(self.key, name)
        self.extra = deprecation(route, self.head.meaning.target)
        return route

    def response(self, head: ResponseHead, body: bytes, done: bool) -> None:
        slot = self._slot
        if slot is None:
            return
        now = slot.heard_at = self._plane.clock()
        if (head.status >= UNWELCOME or slot.failures) and self._left_to_another(head.status, slot, now):
            return
        if slot.base is not None:
            head = head.from_provider()
        if self._echo is not None:
            head, body = self._echoed(head, body, done)
        if self._rewriting is not None and (head.length >= 0 or not head.event_stream):
            self._rewriting = None
        if self._translates:
            head = self._translated(head)
        self._begin_answer(head, slot, now)
        if done and self._rewriting is None and not head.event_stream:
            self.record.bytes_out = len(body)
            self.record.usage = usage_in(body)
            self._end(now)
        elif head.status == SWITCHING:
            self._tunnel(head, body, slot)
            return
        else:
            body = self._passes(body, now, done)
        self._client.respond(head, slot.said, self.extra, body, done, now)

    def _tunnel(self, head: ResponseHead, body: bytes, slot: Slot) -> None:
        self._tunnelling = True
        slot.tunnels += 1
        self._client.tunnel(head)
        self.tunnelled(body)

    def _left_to_another(self, status: int, slot: Slot, now: float) -> bool:
        """What the status is to the slot; True if the request goes on elsewhere, or is refused."""
        if status in RETRIED:
            slot.failed(now, self.limits.failing)
            another = self._another((*self._tried, slot))
            if another is not None:
                self._leave_upstream(f"status {status}")
                self._use(another, now)
                return True
        elif slot.base is not None and status in KEY_REFUSED:
            slot.failed(now, self.limits.failing)
            self._give_up(refusals.provider_refused(self.record.model or ""))
            return True
        elif slot.failures:
            slot.succeeded()
        return self._falls_back(status)

    def tunnelled(self, data: bytes) -> None:
        self.deadline = self._plane.clock() + self.limits.idle_s
        self.record.bytes_out += len(data)
        self._client.tunnelled(data)

    def upstream_eof(self) -> None:
        self._client.half_close()
        self._side_done()

    def _side_done(self) -> None:
        """A tunnel ends with the second of its sides: the system tells no more of either."""
        self._sides_done += 1
        upstream = self._upstream
        if self._sides_done == 2 and upstream is not None:
            self._upstream = upstream.receiver = None
            self._plane.outbox.flush()
            upstream.transport.close()
            self._end(self._plane.clock())
            self._client.cut()

    def upstream_lost(self, why: str) -> None:
        slot, upstream = self._slot, self._upstream
        self._upstream = None
        if slot is None or upstream is None:
            return
        if upstream.tunnel:
            self._end(self._plane.clock())
            self._client.cut()
            return
        if upstream.reused and not self.responding and self.head.method in SAFE:
            another = self._another(self._tried)
            if another is not None:
                self._give_up_slot("stale connection")
                self._use(another, self._plane.clock())
                return
        self._warn("instance broke the connection", slot, why)
        self._failed(slot, "broken")
        if self.responding:
            self._close_books("instance_failed", self._plane.clock())
            self._client.cut()
        else:
            self._give_up(refusals.broken(self.record.model or ""))

    def upstream_full(self, full: bool) -> None:
        self._client.hold(full)
