"""`/model/proxy/<route id>/<path>`, and the older `/model/proxy/<path>`, which names the model in
`X-GPUStack-Model` or in the body."""

from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from modelyard_gateway.domain.headers import MODEL_HEADER
from modelyard_gateway.domain.model_name import model_in_beginning, model_of
from modelyard_gateway.domain.proxy_path import PREFIX, parse_proxy_path
from modelyard_gateway.domain.refusals import missing_model
from modelyard_gateway.domain.table import Key, Route
from modelyard_gateway.handlers.gate import Gate
from modelyard_gateway.routes.body import RequestBody
from modelyard_gateway.routes.inference import admit
from modelyard_gateway.routes.relay import Relay

BEGINNING_BYTES = 64 * 1024
DEPRECATED_SINCE = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
HOW = (
    "Call /model/proxy/<route id>/<path>, or name the model in X-GPUStack-Model or as 'model' in a JSON body."
)


class GenericProxy:
    """Any method; bodies and responses are streamed. Only for routes that have it switched on."""

    def __init__(self, gate: Gate, relay: Relay, max_body_bytes: int) -> None:
        self._gate = gate
        self._relay = relay
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        key = admit(self._gate, headers)
        path = parse_proxy_path(scope["raw_path"])
        if path is None:
            raise HTTPException(404)
        body = RequestBody(receive)
        if path.route_id is not None:
            route = self._gate.proxied_route_by_id(key, path.route_id)
            await self._relay(scope, send, body, route, path.upstream)
            return
        route = await self._named_route(key, headers, body)
        await self._relay(scope, send, body, route, path.upstream, also=deprecation(route, path.upstream))

    async def _named_route(self, key: Key, headers: Headers, body: RequestBody) -> Route:
        name = headers.get(MODEL_HEADER.decode(), "").strip() or await self._model_in(body)
        return self._gate.proxied_route(key, name)

    async def _model_in(self, body: RequestBody) -> str:
        """Reads no further than it must: the rest of a long body is streamed."""
        beginning = await body.read(BEGINNING_BYTES)
        if not beginning:
            raise missing_model(f"The request names no model. {HOW}")
        found = None if body.ended else model_in_beginning(beginning)
        return found or model_of(await body.read_all(self._max_body_bytes))


def deprecation(route: Route, upstream: bytes) -> list[tuple[bytes, bytes]]:
    """RFC 9745, with the address that replaces this one."""
    successor = PREFIX + str(route.id).encode() + upstream
    return [
        (b"deprecation", f"@{DEPRECATED_SINCE}".encode()),
        (b"link", b"<" + successor + b'>; rel="successor-version"'),
    ]
