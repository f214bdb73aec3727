"""Where a request goes: an instance is picked and connected to, the request sent; another is asked where
that is safe; and the books are closed, once.

Nothing here waits: the connections on both sides call when something has come.
"""

import asyncio
from typing import Protocol

import structlog
from modelyard_contracts.events import Affinity

from modelyard_gateway.adapters.upstream import Receiver, UpstreamConnection
from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.affinity import affinity_key
from modelyard_gateway.domain.keys import Key
from modelyard_gateway.domain.limits import limits_of
from modelyard_gateway.domain.long_body import AskedAtTheEnd
from modelyard_gateway.domain.model_name import Echo, Found, Scan
from modelyard_gateway.domain.quota import Share
from modelyard_gateway.domain.record import Attempt, Record
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.request_head import RequestHead
from modelyard_gateway.domain.response_head import ResponseHead
from modelyard_gateway.domain.slot import Slot, Trust
from modelyard_gateway.domain.table import Route
from modelyard_gateway.domain.usage import UsageSeen
from modelyard_gateway.handlers.plane import Plane

logger = structlog.stdlib.get_logger()


FAILED = 503


class Client(Protocol):
    """The side of the exchange that asked."""

    def respond(
        self, head: ResponseHead, said: bytes, extra: bytes, body: bytes, done: bool, now: float
    ) -> None: ...
    def write(self, data: bytes, done: bool, now: float) -> None: ...
    def pass_on(self, data: bytes, framed: bytes) -> None:
        """A chunk, and the same with its framing."""

    def refuse(self, refusal: Refusal) -> None: ...
    def cut(self) -> None: ...
    def hold(self, full: bool) -> None: ...
    def comment(self) -> None: ...
    def tunnel(self, head: ResponseHead) -> None: ...
    def tunnelled(self, data: bytes) -> None: ...
    def half_close(self) -> None: ...


class Rewriting(Protocol):
    def passes(self, data: bytes, done: bool) -> bytes:
        """What the client gets now of what has come."""


class Asking(Receiver):
    """A request on its way to an instance. `route` is set, or its name is looked for in the body."""

    __slots__ = (
        "_began", "_between_events", "_body", "_chunked", "_client", "_connecting", "_echo", "_ending",
        "_found", "_held", "_plane", "_queued", "_rewriting", "_scan", "_sides_done", "_slot", "_streams",
        "_translates", "_tried", "_tunnelling", "_upstream", "_usage", "adapter", "affinity",
        "comment_at", "deadline", "extra", "head", "key", "limits", "proxied", "record", "request_done",
        "responding", "route", "total_until", "websocket",
    )  # fmt: skip

    def __init__(
        self, plane: Plane, client: Client, head: RequestHead, record: Record, key: Key, began: float
    ) -> None:
        self._plane = plane
        self._client = client
        self.head = head
        self.record = record
        self.key = key
        self._began = began
        self.limits = plane.limits
        """The route's, once it is known."""
        self.route: Route | None = None
        self.extra = b""
        """Header lines for the client."""
        self.proxied = False
        """Only routes that are open to the generic proxy."""
        self.websocket = False
        self.request_done = False
        self.responding = False
        self.deadline = 0.0
        """On the loop's clock; 0 for none."""
        self.total_until = 0.0
        self.comment_at = 0.0
        """When a client that waits for a stream is to hear that it still runs; 0 for never."""
        self.adapter: str | None = None
        self.affinity: int | None = None
        """Where the route has affinity: what the request has in common with others."""
        self._queued = False
        self._scan: Scan | None = None
        self._found: Found | None = None
        self._body: bytes | bytearray | None = b""
        """What has come of the request's body; None once it was sent and is not kept."""
        self._chunked = False
        self._slot: Slot | None = None
        self._tried: tuple[Slot, ...] = ()
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._held: tuple[Share, ...] = ()
        """What the request has taken of limits."""
        self._usage: UsageSeen | None = None
        self._between_events: UsageSeen | None = None
        """The same, where nothing of a stream is held back that passes as it is."""
        self._streams = False
        self._sides_done = 0
        """Of a tunnel."""
        self._tunnelling = False
        self._translates = False
        """Its instance does not speak Anthropic's protocol, which the client speaks."""
        self._ending: AskedAtTheEnd | None = None
        """Of a body that goes on before it is whole."""
        self._rewriting: Rewriting | None = None
        """What the client gets of the answer, where that is not all of it as it is."""
        self._echo: Echo | None = None
        """The model's name in the answer, as the server says it and as the client did."""

    def _start(self, route: Route, now: float) -> None:
        plane, record = self._plane, self.record
        self.route = route
        record.route_id = route.id
        record.model = route.name
        if plane.quotas.concern(self.key, route):
            try:
                self._held, lines = plane.quotas.admit(self.key, route)
            except Refusal as refusal:
                self._refuse(refusal)
                return
            self.extra += lines
        options = route.options
        if options is not None:
            self.limits = limits_of(options, plane.limits)
            if options.affinity is not Affinity.NONE:
                session = self.head.fields.get(b"x-session-id")
                self.affinity = affinity_key(options.affinity, session, self._body or b"")
        if self.limits.total_s:
            self.total_until = self._began + self.limits.total_s
        self._next_instance(route, now)

    def _next_instance(self, route: Route, now: float) -> None:
        balancer = self._plane.balancer
        avoided = self._avoided(route) if self.proxied or self.websocket else self._tried
        slot = balancer.pick(route, avoided, now, self.adapter, self.affinity)
        if slot is not None:
            broken = route.falls_back and slot.trust(now) is Trust.FAILED
            if not broken or not self._falls_back(FAILED):
                self._use(slot, now)
        elif balancer.is_full(route) and not self._tried:
            self._queue(route)
        elif self._tried:
            self._give_up(refusals.unreachable(route.name, len(self._tried)))
        else:
            self._give_up(refusals.no_instance(route.name, self.limits.retry_after_s))

    def _avoided(self, route: Route) -> tuple[Slot, ...]:
        """Who was tried; and whoever is not ours, if the request is for a path that is not OpenAI's: a
        provider's key opens more than its models."""
        if not (self.proxied or self.websocket):
            return self._tried
        return (*self._tried, *self._plane.balancer.outside(route, self._plane.clock()))

    def _queue(self, route: Route) -> None:
        if self._plane.waiting.join(route, self):
            self._queued = True
            self.deadline = self._plane.clock() + self.limits.queue_s
        else:
            self._give_up(refusals.queue_full(route.name, self.limits.retry_after_s))

    def _give_up(self, refusal: Refusal) -> None:
        """No instance of the route's own can answer: another may be fallen back to."""
        if not self._falls_back(refusal.status):
            self._refuse(refusal)

    def _falls_back(self, status: int) -> bool:
        """True if another target has the request now, which would have ended with this status."""
        route, plane = self.route, self._plane
        if route is None or not route.falls_back or self.responding or self._body is None:
            return False
        avoided = self._avoided(route)
        slot = plane.balancer.fall_back(route, status, avoided, plane.clock(), self.adapter)
        if slot is None:
            return False
        reason = plane.balancer.reason
        self._leave_upstream(f"status {status}")
        plane.balancer.reason = reason
        self._use(slot, plane.clock())
        return True

    def has_room(self, slot: Slot) -> None:
        self._queued = False
        self._use(slot, self._plane.clock())

    def _use(self, slot: Slot, now: float) -> None:
        plane = self._plane
        slot.taken(now)
        self._slot = slot
        self.deadline = 0.0
        self.record.reason = plane.balancer.reason
        upstream = plane.pool.take(slot.address)
        if upstream is None:
            self._connecting = plane.pool.connect(slot.address, self, self.limits.connect_s)
        else:
            self._send(upstream, slot, now)

    def connected(self, connection: UpstreamConnection) -> None:
        self._connecting = None
        if self._slot is None:
            connection.abort()
        else:
            self._send(connection, self._slot, self._plane.clock())

    def connect_failed(self, why: str) -> None:
        self._connecting = None
        slot, route = self._slot, self.route
        if slot is None or route is None:
            return
        slot.failed(self._plane.clock(), self._plane.limits.unreachable)
        self._warn("instance does not accept connections", slot, why)
        self._give_up_slot("unreachable")
        self._next_instance(route, self._plane.clock())

    def _send(self, upstream: UpstreamConnection, slot: Slot, now: float) -> None:
        raise NotImplementedError

    def _another(self, tried: tuple[Slot, ...]) -> Slot | None:
        """Where the request can go a second time, if all of it is still here."""
        if self._body is None or not self.request_done or self.route is None:
            return None
        return self._plane.balancer.pick(self.route, tried, self._plane.clock(), self.adapter, self.affinity)

    def _failed(self, slot: Slot, outcome: str) -> None:
        slot.failed(self._plane.clock(), self._plane.limits.failing)
        self._give_up_slot(outcome)

    def _give_up_slot(self, outcome: str) -> None:
        slot, self._slot = self._slot, None
        if slot is None:
            return
        slot.in_flight -= 1
        slot.tunnels -= self._tunnelling
        self._echo = self._rewriting = None
        self._plane.waiting.serve(self._plane.clock())
        self._tried = (*self._tried, slot)
        after_s = self._plane.clock() - self._began
        attempt = Attempt(slot.instance_id, slot.provider_id, outcome, after_s)
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
        self._close_books(refusal.code, self._plane.clock())
        self._client.refuse(refusal)

    def _close_books(self, code: str | None, now: float) -> None:
        record = self.record
        if record.ended_s is not None:
            return
        record.code = code
        if self._usage is not None and self._streams:
            record.events = self._usage.events
        record.ended_s = now - self._began
        self.deadline = self.total_until = 0.0
        if self._held:
            self._plane.quotas.let_go(self._held, record)
        self._plane.on_finished(record)

    def _warn(self, message: str, slot: Slot, why: str) -> None:
        logger.warning(
            message,
            instance_id=slot.instance_id,
            provider_id=slot.provider_id,
            address=f"{slot.address.host}:{slot.address.port}",
            request_id=self.record.request_id.decode(),
            error=why,
        )
