"""Where a request goes: an instance is picked and connected to, the request sent; another is asked where
that is safe; and the books are closed, once.

Nothing here waits: the connections on both sides call when something has come.
"""

import asyncio
from typing import Protocol

import structlog

from modelyard_gateway.adapters.upstream import Receiver, UpstreamConnection
from modelyard_gateway.domain import refusals, stream_usage
from modelyard_gateway.domain.balance import Slot
from modelyard_gateway.domain.model_name import Found, Scan, renamed
from modelyard_gateway.domain.record import Attempt, Record
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.request_head import RequestHead
from modelyard_gateway.domain.response_head import ResponseHead
from modelyard_gateway.domain.stream_usage import UsageHidden
from modelyard_gateway.domain.table import Key, Route
from modelyard_gateway.domain.usage import UsageSeen
from modelyard_gateway.handlers.plane import Plane

logger = structlog.stdlib.get_logger()


class Client(Protocol):
    """The side of the exchange that asked."""

    def respond(self, head: ResponseHead, extra: bytes, body: bytes, done: bool) -> None: ...
    def write(self, data: bytes, done: bool) -> None: ...
    def refuse(self, refusal: Refusal) -> None: ...
    def cut(self) -> None: ...
    def hold(self, full: bool) -> None: ...
    def comment(self) -> None: ...
    def tunnel(self, head: ResponseHead) -> None: ...
    def tunnelled(self, data: bytes) -> None: ...
    def half_close(self) -> None: ...


class Asking(Receiver):
    """A request on its way to an instance. `route` is set, or its name is looked for in the body.
    `extra` are header lines for the client."""

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
    comment_at = 0.0
    """When a client that waits for a stream is to hear that it still runs; 0 for never."""
    _queued = False

    _scan: Scan | None = None
    _found: Found | None = None
    adapter: str | None = None
    _body: bytes | bytearray | None = b""
    """What has come of the request's body; None once it was sent and is not kept."""
    _chunked = False
    _slot: Slot | None = None
    _tried: tuple[Slot, ...] = ()
    _upstream: UpstreamConnection | None = None
    _connecting: asyncio.Task[None] | None = None
    _usage: UsageSeen | None = None
    _streams = False
    _hidden: UsageHidden | None = None
    """Set if the client did not ask for the usage of its stream."""
    _sides_done = 0
    """Of a tunnel."""

    def __init__(
        self, plane: Plane, client: Client, head: RequestHead, record: Record, key: Key, began: float
    ) -> None:
        self._plane = plane
        self._client = client
        self.head = head
        self.record = record
        self.key = key
        self._began = began

    def _start(self, route: Route) -> None:
        self.route = route
        self.record.route_id = route.id
        self.record.model = route.name
        if self._plane.limits.total_s:
            self.total_until = self._began + self._plane.limits.total_s
        self._next_instance(route)

    def _next_instance(self, route: Route) -> None:
        slot = self._plane.balancer.pick(route, self._tried, self._plane.clock(), self.adapter)
        if slot is not None:
            self._use(slot)
        elif self._plane.balancer.is_full(route) and not self._tried:
            self._queue(route)
        elif self._tried:
            self._refuse(refusals.unreachable(route.name, len(self._tried)))
        else:
            self._refuse(refusals.no_instance(route.name, self._plane.limits.retry_after_s))

    def _queue(self, route: Route) -> None:
        limits = self._plane.limits
        if self._plane.waiting.join(route, self):
            self._queued = True
            self.deadline = self._plane.clock() + limits.queue_s
        else:
            self._refuse(refusals.queue_full(route.name, limits.retry_after_s))

    def has_room(self, slot: Slot) -> None:
        self._queued = False
        self._use(slot)

    def _use(self, slot: Slot) -> None:
        slot.taken()
        self._slot = slot
        self.record.reason = self._plane.balancer.reason
        upstream = self._plane.pool.take(slot.place)
        if upstream is None:
            self._connecting = self._plane.pool.connect(slot.place, self)
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
        self.record.sent_to = slot.endpoint.instance_id
        self._plane.on_sent(self.record)
        upstream.begin(self, head.method)
        body = self._body or b""
        if self._found is not None and not self.proxied:
            length = len(body)
            body = self._body_for(slot, self._found, bytes(body))
            if head.length >= 0 and len(body) != length:
                head = head.with_length(head.length + len(body) - length)
        end = b"\r\n" if head.length >= 0 else self._framed_body(bytes(body))
        lines = slot.lines if upstream.reused else slot.opening
        start = b"%b%bX-Request-Id: %b\r\n%b" % (head.message, lines, self.record.request_id, end)
        upstream.transport.write(start + body if head.length >= 0 else start)
        now = self._plane.clock()
        self.deadline = now + self._plane.limits.first_byte_s
        if self._plane.limits.comment_s:
            self.comment_at = now + self._plane.limits.comment_s
        if not self.request_done:
            self._body = None
            self._client.hold(False)

    def _body_for(self, slot: Slot, found: Found, body: bytes) -> bytes:
        """With the name that the instance knows the model by; of a stream, its usage is asked for."""
        served = slot.served_as(self.adapter)
        if served is not None and served != found.name:
            body = renamed(body, found, served)
        if self.request_done and b'"stream"' in body and self.head.meaning.target in stream_usage.PATHS:
            asking = stream_usage.asking_for_usage(body)
            if asking is not None:
                self._hidden = stream_usage.UsageHidden()
                return asking
        return body

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

    def _another(self, tried: tuple[Slot, ...]) -> Slot | None:
        """Where the request can go a second time, if all of it is still here."""
        if self._body is None or not self.request_done or self.route is None:
            return None
        return self._plane.balancer.pick(self.route, tried, self._plane.clock(), self.adapter)

    def _failed(self, slot: Slot, outcome: str) -> None:
        slot.failed(self._plane.clock(), self._plane.limits.failing)
        self._give_up_slot(outcome)

    def _give_up_slot(self, outcome: str) -> None:
        slot, self._slot = self._slot, None
        if slot is None:
            return
        slot.in_flight -= 1
        self._plane.waiting.serve(self._plane.clock())
        self._tried = (*self._tried, slot)
        after_s = self._plane.clock() - self._began
        attempt = Attempt(slot.endpoint.instance_id, outcome, after_s)
        self.record.attempts = (*self.record.attempts, attempt)

    def _leave_upstream(self, outcome: str = "left") -> None:
        if self._queued and self.route is not None:
            self._plane.waiting.leave(self.route, self)
            self._queued = False
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
            if self._usage is not None and self._streams:
                record.events = self._usage.events
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
