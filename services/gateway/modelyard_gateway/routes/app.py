"""Every path of the gateway."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.table import RoutingTable
from modelyard_gateway.handlers.dispatch import Dispatcher
from modelyard_gateway.handlers.gate import Gate
from modelyard_gateway.routes.errors import EXCEPTION_HANDLERS
from modelyard_gateway.routes.generic_proxy import GenericProxy
from modelyard_gateway.routes.health import Health
from modelyard_gateway.routes.inference import Inference, Models
from modelyard_gateway.routes.relay import Relay
from modelyard_gateway.routes.request_id import RequestIds

PREFIXES = ("/v1", "/v1-openai")
INFERENCE = ("/chat/completions", "/completions", "/embeddings")


def build_app(
    table: RoutingTable,
    readiness: Readiness,
    gate: Gate,
    dispatcher: Dispatcher,
    *,
    max_body_bytes: int,
    new_id: Callable[[], str],
) -> ASGIApp:
    relay = Relay(dispatcher)
    models = Models(gate)
    health = Health(table, readiness)
    routes: list[BaseRoute] = [
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
        Route("/model/proxy/{path:path}", GenericProxy(gate, relay, max_body_bytes)),
    ]
    for prefix in PREFIXES:
        routes.append(Route(f"{prefix}/models", models.list))
        routes.append(Route(f"{prefix}/models/{{name:path}}", models.get))
        for path in INFERENCE:
            endpoint = Inference(gate, relay, f"/v1{path}", max_body_bytes)
            routes.append(Route(f"{prefix}{path}", endpoint, methods=["POST"]))
    app = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
    app.router.redirect_slashes = False
    return RequestIds(app, new_id)
