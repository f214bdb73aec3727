"""One request, from its admission to its last byte: finds its model, picks an instance, carries the
request there and the answer back, and asks another instance where that is safe.

Nothing here waits: the connections on both sides call when something has come.
"""

import asyncio
from typing import Protocol

import structlog

from modelyard_gateway.adapters.upstream import SWITCHING, UpstreamConnection
from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.balance import Slot
from modelyard_gateway.domain.model_name import Found, Scan, first_model, missing_in, renamed, scan_for
from modelyard_gateway.domain.proxy_path import deprecation
from modelyard_gateway.domain.record import Attempt, Record
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.request_head import RequestHead
from modelyard_gateway.domain.response_head import ResponseHead
from modelyard_gateway.domain.table import Key, Route
from modelyard_gateway.domain.usage import UsageSeen, usage_in
from modelyard_gateway.handlers.plane import Plane

logger = structlog.stdlib.get_logger()

RETRIED = frozenset({502, 503})
"""The instance says that it did not do it."""
SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})
"""Idempotent (RFC 9110 section 9.2.2): may be sent again though it may have been begun."""
FULL_BYTES = 256 * 1024
"""Of a body whose instance is still to be reached, that much is read ahead."""


class Client(Protocol):
    """The side of the exchange that asked."""

    def respond(self, head: ResponseHead, extra: bytes, body: bytes, done: bool) -> None: ...
    def write(self, data: bytes, done: bool) -> None: ...
    def refuse(self, refusal: Refusal) -> None: ...
    def cut(self) -> None: ...
    def hold(self, full: bool) -> None: ...
    def tunnel(self, head: ResponseHead) -> None: ...
    def tunnelled(self, data: bytes) -> None: ...
    def half_close(self) -> None: ...


class Exchange:
    """`route` is set, or its name is looked for in the body. `extra` are header lines for the client."""

    extra = b""
    route: Route | None = None
    proxied = False
    """Only routes that are open to the generic proxy."""
    websocket = False
    request_done = False
    responding = False
    deadline = 0.0
    """On the loop's clock; 0 for none."""
    total_until = 0.0

    _scan: Scan | None = None
    _found: Found | None = None
    _adapter: str | None = None
    _body: bytes | bytearray | None = b""
    """What has come of the request's body; None once it was sent and is not kept."""
    _chunked = False
    _slot: Slot | None = None
    _tried: tuple[Slot, ...] = ()
    _upstream: UpstreamConnection | None = None
    _connecting: asyncio.Task[None] | None = None
    _usage: UsageSeen | None = None

    def __init__(
        self, plane: Plane, client: Client, head: RequestHead, record: Record, key: Key, began: float
    ) -> None:
        self._plane = plane
        self._client = client
        self.head = head
        self.record = record
        self.key = key
        self._began = began

    # --- from the client

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
            self._look(self._body)
        elif self.record.route_id is None:
            self._start(self.route)
        elif len(self._body) > FULL_BYTES:
            self._client.hold(True)

    def client_gone(self) -> None:
        """Nobody waits for the answer."""
        self._leave_upstream()
        self._close_books("client_closed")

    def client_full(self, full: bool) -> None:
        if self._upstream is not None:
            if full:
                self._upstream.transport.pause_reading()
            else:
                self._upstream.transport.resume_reading()

    def from_tunnel(self, data: bytes) -> None:
        if self._upstream is not None:
            self.deadline = self._plane.clock() + self._plane.limits.idle_s
            self._upstream.transport.write(data)

    def client_half_closed(self) -> None:
        if self._upstream is not None and self._upstream.transport.can_write_eof():
            self._upstream.transport.write_eof()

    def expired(self) -> None:
        """The deadline has passed."""
        if self._slot is not None:
            self._failed(self._slot, "timeout")
        self._leave_upstream()
        if self.responding:
            self._close_books("instance_timeout")
            self._client.cut()
        else:
            self._refuse(refusals.timed_out(self.record.model or ""))

    # --- finding the route

    def _look(self, body: bytes | bytearray) -> None:
        found = None
        if self.request_done and self._scan is None:
            found = first_model(bytes(body))
        try:
            found = found or self._scanned(body)
            if found is None:
                return
            self._found = found
            route = self._route(found.name)
        except Refusal as refusal:
            self._refuse(refusal)
        else:
            self._start(route)

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
        if not self.proxied:
            if ":" in name:
                meant = self._plane.gate.adapter(self.key, name)
                if meant is not None:
                    self._adapter = meant[1]
                    return meant[0]
            return self._plane.gate.route(self.key, name)
        route = self._plane.gate.proxied_route(self.key, name)
        self.extra = deprecation(route, self.head.meaning.target)
        return route

    # --- to the instance

    def _start(self, route: Route) -> None:
        self.route = route
        self.record.route_id = route.id
        self.record.model = route.name
        if self._plane.limits.total_s:
            self.total_until = self._began + self._plane.limits.total_s
        self._next_instance(route)

    def _next_instance(self, route: Route) -> None:
        slot = self._plane.balancer.pick(route, self._tried, self._plane.clock(), self._adapter)
        if slot is not None:
            self._use(slot)
        elif self._tried:
            self._refuse(refusals.unreachable(route.name, len(self._tried)))
        else:
            self._refuse(refusals.no_instance(route.name, self._plane.limits.retry_after_s))

    def _use(self, slot: Slot) -> None:
        slot.taken()
        self._slot = slot
        self.record.reason = self._plane.balancer.reason
        upstream = self._plane.pool.take(slot.address)
        if upstream is None:
            self._connecting = self._plane.pool.connect(slot.address, self)
        else:
            self._send(upstream, slot)

    def connected(self, connection: UpstreamConnection) -> None:
        self._connecting = None
        if self._slot is None:
            connection.abort()
        else:
            self._send(connection, self._slot)

    def connect_failed(self, why: str) -> None:
        self._connecting = None
        slot, route = self._slot, self.route
        if slot is None or route is None:
            return
        slot.failed(self._plane.clock(), self._plane.limits.unreachable)
        self._warn("instance does not accept connections", slot, why)
        self._give_up_slot("unreachable")
        self._next_instance(route)

    def _send(self, upstream: UpstreamConnection, slot: Slot) -> None:
        head = self.head
        self._upstream = upstream
        upstream.begin(self, head.method)
        body = self._body or b""
        if self._found is not None and not self.proxied:
            served = slot.served_as(self._adapter)
            if served is not None and served != self._found.name:
                body = renamed(bytes(body), self._found, served)
                if head.length >= 0:
                    head = head.with_length(head.length + len(body) - len(self._body or b""))
        end = b"\r\n" if head.length >= 0 else self._framed_body(bytes(body))
        start = b"%b%bX-Request-Id: %b\r\n%b" % (head.message, slot.lines, self.record.request_id, end)
        upstream.transport.write(start + body if head.length >= 0 else start)
        self.deadline = self._plane.clock() + self._plane.limits.first_byte_s
        if not self.request_done:
            self._body = None
            self._client.hold(False)

    def _framed_body(self, body: bytes) -> bytes:
        """The end of a head that says no length, and what is there of the body."""
        if self.websocket:
            return b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        if not self.head.chunked:
            return b"\r\n"
        if self.request_done:
            self._chunked = False
            return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        self._chunked = True
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return b"Transfer-Encoding: chunked\r\n\r\n%b" % chunk

    def _forward(self, upstream: UpstreamConnection, data: bytes, done: bool) -> None:
        self.record.bytes_in += len(data)
        self.deadline = self._plane.clock() + self._plane.limits.first_byte_s
        if self._chunked:
            end = b"0\r\n\r\n" if done else b""
            data = b"%x\r\n%b\r\n%b" % (len(data), data, end) if data else end
        if data:
            upstream.transport.write(data)

    # --- from the instance

    def response(self, head: ResponseHead, body: bytes, done: bool) -> None:
        slot, record, plane = self._slot, self.record, self._plane
        if slot is None:
            return
        now = plane.clock()
        if head.status in RETRIED:
            slot.failed(now, plane.limits.failing)
            another = self._another((*self._tried, slot))
            if another is not None:
                self._leave_upstream(f"status {head.status}")
                self._use(another)
                return
        elif slot.failures:
            slot.succeeded()
        self.responding = True
        self._body = None
        record.status = head.status
        record.instance_id = slot.endpoint.instance_id
        record.first_byte_s = now - self._began
        if head.status == SWITCHING:
            self._client.tunnel(head)
            self.tunnelled(body)
        elif done:
            record.bytes_out = len(body)
            record.usage = usage_in(body)
            self._end(now)
            self._client.respond(head, slot.said + self.extra, body, True)
        else:
            self.deadline = now + plane.limits.idle_s
            if body:
                self._passes(body)
            self._client.respond(head, slot.said + self.extra, body, False)

    def response_body(self, data: bytes, done: bool) -> None:
        now = self._plane.clock()
        self.deadline = now + self._plane.limits.idle_s
        self._passes(data)
        if done:
            self.record.usage = self._usage.usage() if self._usage is not None else None
            self._end(now)
        self._client.write(data, done)

    def _passes(self, data: bytes) -> None:
        if self._usage is None:
            self._usage = UsageSeen()
        self._usage.pass_by(data)
        self.record.bytes_out += len(data)

    def _end(self, now: float) -> None:
        """The answer is whole."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if self.request_done:
                upstream.release()
            else:
                upstream.abort()
        if self._slot is not None:
            self._slot.in_flight -= 1
            self._slot = None
        self._close_books(None, now)

    def tunnelled(self, data: bytes) -> None:
        self.deadline = self._plane.clock() + self._plane.limits.idle_s
        self.record.bytes_out += len(data)
        self._client.tunnelled(data)

    def upstream_eof(self) -> None:
        self._client.half_close()

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
                self._use(another)
                return
        self._warn("instance broke the connection", slot, why)
        self._failed(slot, "broken")
        if self.responding:
            self._close_books("instance_failed")
            self._client.cut()
        else:
            self._refuse(refusals.broken(self.record.model or ""))

    def upstream_full(self, full: bool) -> None:
        self._client.hold(full)

    # --- the end

    def _another(self, tried: tuple[Slot, ...]) -> Slot | None:
        """Where the request can go a second time, if all of it is still here."""
        if self._body is None or not self.request_done or self.route is None:
            return None
        return self._plane.balancer.pick(self.route, tried, self._plane.clock(), self._adapter)

    def _failed(self, slot: Slot, outcome: str) -> None:
        slot.failed(self._plane.clock(), self._plane.limits.failing)
        self._give_up_slot(outcome)

    def _give_up_slot(self, outcome: str) -> None:
        slot, self._slot = self._slot, None
        if slot is None:
            return
        slot.in_flight -= 1
        self._tried = (*self._tried, slot)
        after_s = self._plane.clock() - self._began
        attempt = Attempt(slot.endpoint.instance_id, outcome, after_s)
        self.record.attempts = (*self.record.attempts, attempt)

    def _leave_upstream(self, outcome: str = "left") -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        if self._slot is not None:
            self._slot.probing = False
            self._give_up_slot(outcome)

    def _refuse(self, refusal: Refusal) -> None:
        self._leave_upstream()
        self.record.status = refusal.status
        self._close_books(refusal.code)
        self._client.refuse(refusal)

    def _close_books(self, code: str | None, now: float | None = None) -> None:
        record = self.record
        if record.ended_s is None:
            record.code = code
            record.ended_s = (self._plane.clock() if now is None else now) - self._began
            self.deadline = self.total_until = 0.0
            self._plane.on_finished(record)

    def _warn(self, message: str, slot: Slot, why: str) -> None:
        logger.warning(
            message,
            instance_id=slot.endpoint.instance_id,
            attempt=slot.endpoint.attempt,
            address="{}:{}".format(*slot.address),
            request_id=self.record.request_id.decode(),
            error=why,
        )
