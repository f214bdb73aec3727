"""Inference backends: what may be asked of them, in JSON and in YAML. Lists are in `reads`."""

from typing import Annotated

import yaml
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from modelyard_contracts.commands import BackendFields
from pydantic import ValidationError

from modelyard_api.domain.errors import bad_request, invalid
from modelyard_api.projections import lists, queries
from modelyard_api.projections.backends import BACKENDS
from modelyard_api.projections.lists import Condition, Listing
from modelyard_api.routes.answers import Json, answer, as_json, enveloped, settle, wait_for
from modelyard_api.routes.context import AdminOf, CallerOf, CommanderOf, ContextOf, Ident, IfMatchOf

READ_ONLY = frozenset(
    {"id", "created_at", "updated_at", "is_built_in", "backend_source", "versions", "frameworks"}
)
MOST_YAML_BYTES = 256 * 1024
RESOURCE = BACKENDS.resource


def fields_of(body: object) -> BackendFields:
    """Without what a view shows and nobody may set: scripts read a backend, change it and send it back."""
    if not isinstance(body, dict):
        raise invalid("the body must be an object with the fields of an inference backend")
    try:
        return BackendFields.model_validate(
            {key: value for key, value in body.items() if key not in READ_ONLY}
        )
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


async def from_json(request: Request) -> BackendFields:
    try:
        return fields_of(await request.json())
    except ValueError as error:
        raise bad_request(f"the body is no JSON: {error}") from error


async def from_yaml(request: Request) -> BackendFields:
    """The body is the YAML itself, or JSON with the YAML in `content`."""
    text = await request.body()
    if len(text) > MOST_YAML_BYTES:
        raise invalid(f"the body is larger than {MOST_YAML_BYTES} bytes")
    if "json" in request.headers.get("content-type", ""):
        try:
            text = (await request.json())["content"].encode()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise invalid("content: the YAML is needed here, as text") from error
    try:
        return fields_of(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise invalid(f"this is no YAML: {' '.join(str(error).split())}") from error


FieldsOf = Annotated[BackendFields, Depends(from_json)]
YamlFieldsOf = Annotated[BackendFields, Depends(from_yaml)]


def inference_backend_router() -> APIRouter:
    router = APIRouter(prefix=f"/v2/{RESOURCE}")
    _add_reads(router)
    _add_yaml(router)

    @router.post("")
    async def create(
        fields: FieldsOf, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        return await answer(context, response, RESOURCE, await context.handlers.backends.create(fields, by))

    @router.put("/{ident}")
    async def update(
        ident: Ident,
        fields: FieldsOf,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
        if_match: IfMatchOf,
    ) -> Json:
        done = await context.handlers.backends.update(ident, fields, by, if_match)
        return await answer(context, response, RESOURCE, done)

    @router.delete("/{ident}")
    async def delete(
        ident: Ident, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf, if_match: IfMatchOf
    ) -> None:
        await settle(context, response, await context.handlers.backends.delete(ident, by, if_match))

    return router


def _add_yaml(router: APIRouter) -> None:
    @router.post("/from-yaml")
    async def create_from_yaml(
        fields: YamlFieldsOf, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        return await answer(context, response, RESOURCE, await context.handlers.backends.create(fields, by))

    @router.put("/from-yaml")
    async def update_from_yaml(
        fields: YamlFieldsOf,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
        if_match: IfMatchOf,
    ) -> Json:
        if fields.backend_name is None:
            raise invalid("backend_name: is required, to know which backend is meant")
        ident = await context.handlers.backends.named(fields.backend_name)
        done = await context.handlers.backends.update(ident, fields, by, if_match)
        return await answer(context, response, RESOURCE, done)


def _add_reads(router: APIRouter) -> None:
    @router.get("/all", response_model=None)
    async def list_all(request: Request, context: ContextOf, _: CallerOf) -> Response:
        return await _everything(request, context, ())

    @router.get("/list", response_model=None)
    async def list_enabled(request: Request, context: ContextOf, _: CallerOf) -> Response:
        """Those to choose from."""
        enabled = Condition(lambda c: c.enabled, lambda view: bool(view["enabled"]))
        return await _everything(request, context, (enabled,))

    @router.get("/backend_name/{name}", response_model=None)
    async def get_by_name(name: str, request: Request, context: ContextOf, _: CallerOf) -> Response:
        await wait_for(context, request)
        ident = await context.handlers.backends.named(name)
        found = await queries.view(context.db, RESOURCE, ident)
        return as_json(found[0] if found else None, found[1] if found else 0)


async def _everything(request: Request, context: ContextOf, conditions: tuple[Condition, ...]) -> Response:
    await wait_for(context, request)
    listing = Listing(conditions, (("id", False),), 0, 1)
    page = await lists.read(context.db, BACKENDS, listing)
    return enveloped(page, listing, page.views)
