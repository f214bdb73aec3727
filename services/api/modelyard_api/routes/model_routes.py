"""Routes, their targets, and providers: commands, and the list of targets. Other lists are in `reads`."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from modelyard_contracts.routing import (
    FallbackSet,
    ProviderCreate,
    ProviderUpdate,
    RouteAccess,
    RouteCreate,
    RouteUpdate,
    TargetsAdd,
    TargetUpdate,
)
from pydantic import ValidationError

from modelyard_api.domain.errors import invalid, not_found
from modelyard_api.domain.route import TARGETS_PER_ROUTE
from modelyard_api.handlers.commanding import Done
from modelyard_api.projections import lists, queries
from modelyard_api.projections.accounts import USERS
from modelyard_api.projections.lists import Condition, Listing, Page
from modelyard_api.projections.providers import PROVIDERS
from modelyard_api.projections.routes import ROUTES
from modelyard_api.projections.rows import View
from modelyard_api.routes.answers import Json, answer, as_json, enveloped, settle, wait_for
from modelyard_api.routes.context import AdminOf, CallerOf, CommanderOf, Context, ContextOf, Ident, IfMatchOf
from modelyard_api.routes.listing import number

READ_ONLY = frozenset(
    {"id", "created_at", "updated_at", "ready_targets", "route_targets", "created_model_id", "limits"}
)
"""What a route's view shows and nobody may set: scripts read a route, change a field and send it back."""
TARGETS = "/v2/model-route-targets"
TARGET_FILTERS = ("route_id", "model_id", "provider_id")
EVERYTHING = Listing((), (("id", False),), 0, 1)


def model_route_router() -> APIRouter:
    router = APIRouter()
    _add_routes(router)
    _add_targets(router)
    _add_target_changes(router)
    _add_providers(router)
    return router


def route_update(body: Annotated[dict[str, Any], Body()]) -> RouteUpdate:
    """`targets` is a list to set them, and a number where a route is sent back as it was read."""
    counted = isinstance(body.get("targets"), int)
    said = {
        key: value
        for key, value in body.items()
        if key not in READ_ONLY and not (key == "targets" and counted)
    }
    try:
        return RouteUpdate.model_validate(said)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _add_routes(router: APIRouter) -> None:
    @router.post("/v2/model-routes")
    async def create_route(
        command: RouteCreate, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.routes.create(command, by)
        return await answer(context, response, ROUTES.resource, done)

    @router.put("/v2/model-routes/{ident}")
    async def update_route(
        ident: Ident,
        command: Annotated[RouteUpdate, Depends(route_update)],
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
        if_match: IfMatchOf,
    ) -> Json:
        done = await context.handlers.routes.update(ident, command, by, if_match)
        return await answer(context, response, ROUTES.resource, done)

    @router.delete("/v2/model-routes/{ident}")
    async def delete_route(
        ident: Ident, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf, if_match: IfMatchOf
    ) -> None:
        await settle(context, response, await context.handlers.routes.delete(ident, by, if_match))

    @router.get("/v2/model-routes/{ident}/access")
    async def get_access(ident: Ident, context: ContextOf, request: Request, _: AdminOf) -> Json:
        await wait_for(context, request)
        found = await queries.view(context.db, ROUTES.resource, ident)
        if found is None:
            raise not_found(f"model route {ident}")
        return await _access(context, found[0])

    @router.post("/v2/model-routes/{ident}/access")
    async def set_access(
        ident: Ident,
        command: RouteAccess,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
        if_match: IfMatchOf,
    ) -> Json:
        done = await context.handlers.routes.set_access(ident, command, by, if_match)
        return await _access(context, await answer(context, response, ROUTES.resource, done))

    @router.post("/v2/model-routes/{ident}/add-targets")
    async def add_targets(
        ident: Ident,
        command: TargetsAdd,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
    ) -> Json:
        done = await context.handlers.routes.add_targets(ident, command, by)
        return await answer(context, response, ROUTES.resource, done)


async def _access(context: Context, route: View) -> Json:
    """Who may call a route, with the users by name."""
    named = Condition(lambda c: c.id.in_(route["allowed_user_ids"]), lambda view: True)
    users = await lists.read(context.db, USERS, Listing((named,), (("id", False),), 0, 1))
    items = [{name: user[name] for name in ("id", "username", "full_name")} for user in users.views]
    return {"access_policy": route["access_policy"], "items": items}


def _add_targets(router: APIRouter) -> None:
    @router.get(TARGETS, response_model=None)
    async def list_targets(context: ContextOf, request: Request, _: CallerOf) -> Response:
        for name in request.query_params:
            if name not in (*TARGET_FILTERS, "min_seq"):
                raise invalid(f"{name}: is not a parameter of this list")
        wanted = {name: number(request.query_params, name) for name in TARGET_FILTERS}
        await wait_for(context, request)
        page = await lists.read(context.db, ROUTES, EVERYTHING)
        targets = [
            target
            for view in page.views
            for target in view["route_targets"]
            if all(value is None or target[name] == value for name, value in wanted.items())
        ]
        return enveloped(Page(targets, (), len(targets), page.seq), EVERYTHING, targets)

    @router.get(f"{TARGETS}/{{ident}}", response_model=None)
    async def get_target(ident: Ident, context: ContextOf, request: Request, _: CallerOf) -> Response:
        await wait_for(context, request)
        target, seq = await _target(context, ident)
        return as_json(target, seq)


def _add_target_changes(router: APIRouter) -> None:
    @router.put(f"{TARGETS}/{{ident}}")
    async def update_target(
        ident: Ident,
        command: TargetUpdate,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
    ) -> Json:
        return await _changed(
            context, response, ident, await context.handlers.routes.update_target(ident, command, by)
        )

    @router.post(f"{TARGETS}/{{ident}}/set-fallback")
    async def set_fallback(
        ident: Ident,
        command: FallbackSet,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
    ) -> Json:
        update = TargetUpdate(fallback_status_codes=command.fallback_status_codes)
        return await _changed(
            context, response, ident, await context.handlers.routes.update_target(ident, update, by)
        )

    @router.delete(f"{TARGETS}/{{ident}}")
    async def delete_target(
        ident: Ident, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> None:
        await settle(context, response, await context.handlers.routes.delete_target(ident, by))


async def _changed(context: Context, response: Response, ident: int, done: Done) -> View:
    await settle(context, response, done)
    return (await _target(context, ident))[0]


async def _target(context: Context, ident: int) -> tuple[View, int]:
    """And the sequence of its route. Raises `Refusal` (404)."""
    found = await queries.view(context.db, ROUTES.resource, ident // TARGETS_PER_ROUTE)
    for target in () if found is None else found[0]["route_targets"]:
        if found is not None and target["id"] == ident:
            return target, found[1]
    raise not_found(f"model route target {ident}")


def _add_providers(router: APIRouter) -> None:
    path = f"/v2/{PROVIDERS.resource}"

    @router.post(path)
    async def create_provider(
        command: ProviderCreate, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.providers.create(command, by)
        return await answer(context, response, PROVIDERS.resource, done)

    @router.put(f"{path}/{{ident}}")
    async def update_provider(
        ident: Ident,
        command: ProviderUpdate,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
        if_match: IfMatchOf,
    ) -> Json:
        done = await context.handlers.providers.update(ident, command, by, if_match)
        return await answer(context, response, PROVIDERS.resource, done)

    @router.delete(f"{path}/{{ident}}")
    async def delete_provider(
        ident: Ident, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf, if_match: IfMatchOf
    ) -> None:
        await settle(context, response, await context.handlers.providers.delete(ident, by, if_match))
