"""`/v1/...` in OpenAI's shape (also under `/v1-openai`): the body's `model` chooses the route."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from modelyard_gateway.domain.access import presented_key
from modelyard_gateway.domain.model_name import model_of
from modelyard_gateway.domain.table import Key, Route
from modelyard_gateway.handlers.gate import Gate
from modelyard_gateway.routes.body import RequestBody
from modelyard_gateway.routes.relay import Relay

OWNER = "modelyard"


def admit(gate: Gate, headers: Headers) -> Key:
    return gate.admit(presented_key(headers.get("authorization"), headers.get("x-api-key")))


class Inference:
    """One path that is forwarded unchanged to an instance of the model."""

    def __init__(self, gate: Gate, relay: Relay, target: str, max_body_bytes: int) -> None:
        self._gate = gate
        self._relay = relay
        self._target = target.encode()
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = admit(self._gate, Headers(scope=scope))
        body = RequestBody(receive)
        route = self._gate.route(key, model_of(await body.read_all(self._max_body_bytes)))
        await self._relay(scope, send, body, route, self._target)


class Models:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def list(self, request: Request) -> Response:
        key = admit(self._gate, request.headers)
        models = [model_object(route) for route in self._gate.models(key)]
        return JSONResponse({"object": "list", "data": models})

    async def get(self, request: Request) -> Response:
        key = admit(self._gate, request.headers)
        return JSONResponse(model_object(self._gate.route(key, request.path_params["name"])))


def model_object(route: Route) -> dict[str, object]:
    return {
        "id": route.name,
        "object": "model",
        "created": int(route.created.timestamp()),
        "owned_by": OWNER,
    }
