"""Every path of the gateway: who may come in, and what answers."""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from urllib.parse import parse_qs, unquote_to_bytes

from modelyard_contracts.quotas import RequestAsked

from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.headers import Known
from modelyard_gateway.domain.limits import Limits
from modelyard_gateway.domain.paths import Kind
from modelyard_gateway.domain.proxy_path import deprecated, deprecation
from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.record import Record
from modelyard_gateway.domain.refusals import missing_model
from modelyard_gateway.domain.request_head import RequestHead, parse_request
from modelyard_gateway.domain.table import Route, RoutingTable
from modelyard_gateway.handlers.exchange import Exchange
from modelyard_gateway.handlers.lookup import Lookup
from modelyard_gateway.handlers.plane import Plane
from modelyard_gateway.routes.answers import JSON, Answer, json_answer
from modelyard_gateway.routes.connection import ClientConnection
from modelyard_gateway.routes.later import Later

OWNER = "modelyard"
MODELS = b"/v1/models"
REQUESTS = b"/v2/requests/"
HOW = (
    "Call /model/proxy/<route id>/<path>, or name the model in X-GPUStack-Model or as 'model' in a JSON body."
)


class Front:
    def __init__(
        self,
        plane: Plane,
        table: RoutingTable,
        readiness: Readiness,
        lookup: Lookup,
        *,
        new_id: Callable[[], bytes],
    ) -> None:
        self._plane = plane
        self._lookup = lookup
        self._table = table
        self._readiness = readiness
        self.new_id = new_id
        self.heads = Known(parse_request)
        self.clock = plane.clock
        self.outbox = plane.outbox
        self.limits: Limits = plane.limits
        self.connections: set[ClientConnection] = set()
        self.draining = False
        self.drained = asyncio.Event()
        self.date_line = b""
        self.sweep()

    def connection(self) -> ClientConnection:
        return ClientConnection(self)

    def open(self, connection: ClientConnection, head: RequestHead) -> Exchange | Later | Answer:
        """For heads that do not say `infers`, which `exchange` is for. Raises `Refusal`."""
        kind = head.meaning.kind
        if kind is Kind.INFERENCE:
            if head.method != b"POST":
                raise refusals.method_not_allowed(head.method.decode(), _text(head.path), "POST")
            exchange = self.exchange(connection, head)
            exchange.extra = deprecated(head.meaning.target)
            return exchange
        if kind is Kind.PROXIED:
            return self._proxied(connection, head)
        if kind is Kind.REALTIME:
            return self._realtime(connection, head)
        if head.meaning.target.startswith(REQUESTS):
            return self._request(connection, head)
        answer = self._local(head, head.meaning.target)
        if head.meaning.older:
            return answer._replace(lines=answer.lines + deprecated(head.meaning.target))
        return answer

    def exchange(self, connection: ClientConnection, head: RequestHead) -> Exchange:
        """Raises `Refusal`."""
        plane = self._plane
        key = plane.gate.admit(head.presented)
        began = plane.clock()
        record = Record(connection.request_id, head.path, began + self._epoch, key.key_id, key.user_id)
        return Exchange(plane, connection, head, record, key, began)

    def _proxied(self, connection: ClientConnection, head: RequestHead) -> Exchange:
        """`/model/proxy/<route id>/<path>`, and the older `/model/proxy/<path>`, which names the model in
        `X-GPUStack-Model` or in the body."""
        exchange = self.exchange(connection, head)
        exchange.proxied = True
        exchange.websocket = head.wants_websocket()
        gate = self._plane.gate
        name = head.fields.get(b"x-gpustack-model", b"").strip().decode("latin-1")
        if head.meaning.route_id is not None:
            exchange.route = gate.proxied_route_by_id(exchange.key, head.meaning.route_id)
        elif name:
            exchange.route = gate.proxied_route(exchange.key, name)
            exchange.extra = deprecation(exchange.route, head.meaning.target)
        elif head.length <= 0 and not head.chunked:
            raise missing_model(f"The request names no model. {HOW}")
        return exchange

    def _realtime(self, connection: ClientConnection, head: RequestHead) -> Exchange:
        exchange = self.exchange(connection, head)
        exchange.websocket = head.wants_websocket()
        if not exchange.websocket:
            raise refusals.no_websocket()
        name = parse_qs(head.query()).get("model", [""])[0]
        if not name:
            raise missing_model("The query has no 'model'.")
        exchange.route = self._plane.gate.route(exchange.key, name)
        return exchange

    def _local(self, head: RequestHead, path: bytes) -> Answer:
        if path == b"/healthz":
            return json_answer(200, {"status": "ok"})
        if path == b"/readyz":
            return self._ready()
        if path != MODELS and not path.startswith(MODELS + b"/"):
            raise refusals.unknown_url(head.method.decode(), _text(head.path))
        if head.method not in (b"GET", b"HEAD"):
            raise refusals.method_not_allowed(head.method.decode(), _text(head.path), "GET, HEAD")
        key = self._plane.gate.admit(head.presented)
        asked = parse_qs(head.query())
        with_meta = asked.get("with_meta", [""])[0].lower() in ("1", "true")
        name = unquote_to_bytes(path[len(MODELS) + 1 :]).decode(errors="replace")
        if name:
            return json_answer(200, self._model(self._plane.gate.route(key, name), with_meta))
        wanted = set(asked.get("categories", ()))
        models = [
            self._model(route, with_meta)
            for route in self._plane.gate.models(key)
            if not wanted or wanted & set(route.categories or ("unknown",))
        ]
        return json_answer(200, {"object": "list", "data": models})

    def _model(self, route: Route, with_meta: bool) -> dict[str, object]:
        if not with_meta:
            return model_object(route)
        running = sum(1 for _ in self._table.endpoints(route))
        meta = {**route.meta, "categories": list(route.categories)}
        meta |= {"running_instances": running, "route_id": route.id}
        return {**model_object(route), "meta": meta}

    def _request(self, connection: ClientConnection, head: RequestHead) -> Later | Answer:
        """What became of a request of the same user; an admin may ask for anybody's."""
        gate = self._plane.gate
        key = gate.admit_user(head.presented)
        ident = _text(head.meaning.target[len(REQUESTS) :])
        asked = RequestAsked(request_id=ident, user_id=None if gate.is_admin(key) else key.user_id)
        found = self._lookup.own(asked)
        if found is not None:
            return Answer(200, found, JSON)
        return Later(self._elsewhere(asked), connection.answer, connection.refuse)

    async def _elsewhere(self, asked: RequestAsked) -> Answer:
        return Answer(200, await self._lookup.elsewhere(asked), JSON)

    def _ready(self) -> Answer:
        """Ready as long as it can route, even from a table that no longer changes; `halted` tells."""
        caught_up = self._readiness.caught_up
        body = {
            "status": "ready" if caught_up else "starting",
            "seq": self._table.seq,
            "halted": self._readiness.halted,
            "from_snapshot": self._readiness.from_snapshot,
        }
        return json_answer(200 if caught_up else 503, body)

    def sweep(self) -> None:
        """To be called a few times a second: what has taken too long is ended."""
        now, wall = self.clock(), self._plane.wall()
        self._epoch = wall - now
        self.date_line = f"Date: {formatdate(wall, usegmt=True)}\r\n".encode()
        self._plane.pool.close_idle()
        self._plane.waiting.serve(now)
        limits = self._plane.limits
        self._plane.balancer.listen(now, limits.failing, limits.silent_s)
        for connection in tuple(self.connections):
            connection.sweep(now)

    def drain(self) -> None:
        """Running exchanges may finish; idle connections are closed."""
        self.draining = True
        self.outbox.flush()
        for connection in tuple(self.connections):
            connection.drain()
        if not self.connections:
            self.drained.set()

    def closed(self, connection: ClientConnection) -> None:
        self.connections.discard(connection)
        if self.draining and not self.connections:
            self.drained.set()


def model_object(route: Route) -> dict[str, object]:
    return {
        "id": route.name,
        "object": "model",
        "created": int(route.created.timestamp()),
        "owned_by": OWNER,
    }


def _text(path: bytes) -> str:
    return path.decode("latin-1")
