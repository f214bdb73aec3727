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
from modelyard_gateway.domain.heads import RequestHead, ResponseHead
from modelyard_gateway.domain.model_name import Found, JsonModel, Scan, missing_in, named_twice
from modelyard_gateway.domain.proxy_path import deprecation
from modelyard_gateway.domain.record import Attempt, Record
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.table import Key, Route
from modelyard_gateway.domain.usage import UsageSeen
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

    def respond(self, head: ResponseHead, extra: bytes) -> None: ...
    def write(self, parts: list[bytes]) -> None: ...
    def finish(self) -> None: ...
    def refuse(self, refusal: Refusal) -> None: ...
    def cut(self) -> None: ...
    def hold(self, full: bool) -> None: ...
    def tunnel(self, head: ResponseHead) -> None: ...
    def tunnelled(self, data: bytes) -> None: ...
    def half_close(self) -> None: ...


class Exchange:
    """`scan` is None where the route is known without the body. `extra` are header lines for the client."""

    __slots__ = (
        "_body", "_chunked", "_client", "_connecting", "_found", "_plane", "_slot",
        "_tried", "_upstream", "_usage", "deadline", "extra", "head", "key", "proxied", "record",
        "request_done", "responding", "route", "scan", "target", "total_until", "websocket",
    )  # fmt: skip

    def __init__(
        self, plane: Plane, client: Client, head: RequestHead, record: Record, key: Key, target: bytes
    ) -> None:
        self._plane = plane
        self._client = client
        self.head = head
        self.record = record
        self.key = key
        self.proxied = False
        """Only routes that are open to the generic proxy."""
        self.target = target
        self.extra = b""
        self.route: Route | None = None
        self.scan: Scan | None = None
        self.request_done = False
        self.responding = False
        self.deadline = 0.0
        """On the loop's clock; 0 for none."""
        self.total_until = 0.0
        self._body: bytes | bytearray | None = b""
        """What has come of the request's body; None once it was sent and is not kept."""
        self._found: Found | None = None
        self._chunked = False
        self.websocket = False
        self._slot: Slot | None = None
        self._tried: tuple[Slot, ...] = ()
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._usage = UsageSeen()

    # --- from the client

    def request_body(self, parts: list[bytes], done: bool) -> None:
        self.request_done = done
        upstream = self._upstream
        if upstream is not None:
            self._forward(upstream, parts, done)
            return
        for part in parts:
            self.record.bytes_in += len(part)
            if not self._body:
                self._body = part
            else:
                if not isinstance(self._body, bytearray):
                    self._body = bytearray(self._body or b"")
                self._body += part
        if self.scan is not None:
            self._look(self.scan)
        elif self.route is not None and self.record.route_id is None:
            self._start(self.route)
        elif len(self._body or b"") > FULL_BYTES:
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
        slot, route = self._slot, self.route
        if slot is not None:
            self._failed(slot, "timeout")
        self._leave_upstream()
        if self.responding:
            self._close_books("instance_timeout")
            self._client.cut()
        else:
            self._refuse(refusals.timed_out(route.name if route is not None else ""))

    # --- finding the route

    def _look(self, scan: Scan) -> None:
        text = self._body or b""
        try:
            found = scan.find(text)
            if found is None or found.end > self._plane.limits.max_scan_bytes:
                self._not_found(scan, text)
                return
            if isinstance(scan, JsonModel) and named_twice(text, found):
                raise refusals.bad_request("The request names 'model' twice.", "invalid_json", param="model")
            self._found = found
            self.scan = None
            gate = self._plane.gate
            if self.proxied:
                route = gate.proxied_route(self.key, found.name)
                self.extra = deprecation(route, self.target)
            else:
                route = gate.route(self.key, found.name)
            self._start(route)
        except Refusal as refusal:
            self._refuse(refusal)

    def _not_found(self, scan: Scan, text: bytes | bytearray) -> None:
        if len(text) > self._plane.limits.max_scan_bytes:
            raise refusals.too_large(self._plane.limits.max_scan_bytes)
        if self.request_done:
            raise missing_in(bytes(text), scan)

    # --- to the instance

    def _start(self, route: Route) -> None:
        self.route = route
        self.record.route_id = route.id
        self.record.model = route.name
        if self._plane.limits.total_s:
            self.total_until = self._plane.clock() + self._plane.limits.total_s
        self._next_instance(route)

    def _next_instance(self, route: Route) -> None:
        plane = self._plane
        slot = plane.balancer.pick(route, self._tried, plane.clock())
        if slot is not None:
            self._use(slot)
        elif self._tried:
            self._refuse(refusals.unreachable(route.name, len(self._tried)))
        else:
            self._refuse(refusals.no_instance(route.name, plane.limits.retry_after_s))

    def _use(self, slot: Slot) -> None:
        plane = self._plane
        slot.taken()
        self._slot = slot
        upstream = plane.pool.take(slot.address)
        if upstream is None:
            self._connecting = plane.pool.connect(slot.address, self)
        else:
            self._send(upstream, slot)

    def connected(self, connection: UpstreamConnection) -> None:
        self._connecting = None
        slot = self._slot
        if slot is None:
            connection.abort()
        else:
            self._send(connection, slot)

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
        self._upstream = upstream
        upstream.begin(self, self.head.method)
        head, body = self._message(slot)
        upstream.transport.writelines((head, body) if body else (head,))
        now = self._plane.clock()
        self.deadline = now + self._plane.limits.first_byte_s
        if not self.request_done:
            self._body = None
            self._client.hold(False)

    def _message(self, slot: Slot) -> tuple[bytes, bytes]:
        head = self.head
        body = bytes(self._body or b"")
        fields = head.fields
        self._chunked = False
        if self.websocket:
            framing = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        elif b"content-length" in fields:
            framing = b"Content-Length: %b\r\n" % fields[b"content-length"].strip()
        elif b"transfer-encoding" not in fields:
            framing = b""
        elif self.request_done:
            framing = b"Content-Length: %d\r\n" % len(body)
        else:
            self._chunked = True
            framing = b"Transfer-Encoding: chunked\r\n"
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        message = b"%b %b%b HTTP/1.1\r\n%b%bX-Request-Id: %b\r\n%b\r\n" % (
            head.method, self.target, head.query, slot.host_line, b"".join(head.kept), self.record.request_id,
            framing,
        )  # fmt: skip
        return message, body

    def _forward(self, upstream: UpstreamConnection, parts: list[bytes], done: bool) -> None:
        size = sum(map(len, parts))
        self.record.bytes_in += size
        self.deadline = self._plane.clock() + self._plane.limits.first_byte_s
        if self._chunked:
            parts = [b"%x\r\n" % size, *parts, b"\r\n"] if size else []
            if done:
                parts.append(b"0\r\n\r\n")
        if parts:
            upstream.transport.writelines(parts)

    # --- from the instance

    def response_head(self, head: ResponseHead) -> None:
        slot, route, record = self._slot, self.route, self.record
        if slot is None or route is None:
            return
        now = self._plane.clock()
        if head.status in RETRIED:
            slot.failed(now, self._plane.limits.failing)
            another = self._another(route, now, (*self._tried, slot))
            if another is not None:
                self._leave_upstream(f"status {head.status}")
                self._use(another)
                return
        else:
            slot.succeeded()
        self.responding = True
        record.status = head.status
        record.instance_id = slot.endpoint.instance_id
        record.first_byte_s = self._plane.wall() - record.started_at
        self.deadline = now + self._plane.limits.idle_s
        self._body = None
        if head.status == SWITCHING:
            self._client.tunnel(head)
        else:
            self._client.respond(head, self.extra)

    def response_body(self, parts: list[bytes]) -> None:
        self.deadline = self._plane.clock() + self._plane.limits.idle_s
        usage, record = self._usage, self.record
        for part in parts:
            usage.pass_by(part)
            record.bytes_out += len(part)
        self._client.write(parts)

    def response_end(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if self.request_done:
                upstream.release()
            else:
                upstream.abort()
        self._give_up_slot("answered")
        self.record.usage = self._usage.usage()
        self._close_books(None)
        self._client.finish()

    def tunnelled(self, data: bytes) -> None:
        self.deadline = self._plane.clock() + self._plane.limits.idle_s
        self.record.bytes_out += len(data)
        self._client.tunnelled(data)

    def upstream_eof(self) -> None:
        self._client.half_close()

    def upstream_lost(self, why: str) -> None:
        slot, route, upstream = self._slot, self.route, self._upstream
        self._upstream = None
        if slot is None or route is None or upstream is None:
            return
        if upstream.tunnel:
            self._give_up_slot("answered")
            self._close_books(None)
            self._client.cut()
            return
        if upstream.reused and not self.responding and self.head.method in SAFE:
            another = self._another(route, self._plane.clock(), self._tried)
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
            self._refuse(refusals.broken(route.name))

    def upstream_full(self, full: bool) -> None:
        self._client.hold(full)

    # --- the end

    def _another(self, route: Route, now: float, tried: tuple[Slot, ...]) -> Slot | None:
        """Where the request can go a second time, if all of it is still here."""
        if self._body is None or not self.request_done:
            return None
        return self._plane.balancer.pick(route, tried, now)

    def _failed(self, slot: Slot, outcome: str) -> None:
        slot.failed(self._plane.clock(), self._plane.limits.failing)
        self._give_up_slot(outcome)

    def _give_up_slot(self, outcome: str) -> None:
        slot, self._slot = self._slot, None
        if slot is None:
            return
        slot.in_flight -= 1
        if outcome == "answered":
            return
        self._tried = (*self._tried, slot)
        after_s = self._plane.wall() - self.record.started_at
        self.record.attempts.append(Attempt(slot.endpoint.instance_id, outcome, after_s))

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

    def _close_books(self, code: str | None) -> None:
        record = self.record
        if record.ended_s is None:
            record.code = code
            record.ended_s = self._plane.wall() - record.started_at
            self.deadline = 0.0
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
