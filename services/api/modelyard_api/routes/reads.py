"""Queries: lists with watch, single resources, the event stream, logs."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from modelyard_contracts.access import AccessPolicy
from sqlalchemy import or_

from modelyard_api.domain.errors import forbidden, not_found
from modelyard_api.projections import lists, queries
from modelyard_api.projections.folding import BY_RESOURCE, READ_MODELS
from modelyard_api.projections.instance_progress import on_its_way
from modelyard_api.projections.instances import INSTANCES
from modelyard_api.projections.lists import Condition, Listing
from modelyard_api.projections.model_files import MODEL_FILES, coming
from modelyard_api.projections.routes import ROUTES
from modelyard_api.projections.rows import ReadModel, View
from modelyard_api.projections.worker_use import in_use
from modelyard_api.projections.workers import WORKERS
from modelyard_api.routes.answers import as_json, enveloped, wait_for
from modelyard_api.routes.context import Caller, CallerOf, Context, ContextOf, Ident
from modelyard_api.routes.events import event_router
from modelyard_api.routes.explain import explain_router
from modelyard_api.routes.gpu_devices import gpu_device_router
from modelyard_api.routes.instance_logs import log_router
from modelyard_api.routes.listing import flag, listing_of, number
from modelyard_api.routes.watch import watch

NAMES = {
    "models": "model",
    "model-instances": "model instance",
    "workers": "worker",
    "model-routes": "model route",
    "model-providers": "model provider",
    "model-facts": "facts of a model",
    "model-files": "model file",
    "clusters": "cluster",
    "inference-backends": "inference backend",
    "users": "user",
    "api-keys": "API key",
}


def read_router() -> APIRouter:
    router = APIRouter()
    router.include_router(event_router())
    router.include_router(log_router())
    router.include_router(explain_router())
    router.include_router(gpu_device_router())
    resources = APIRouter(prefix="/v2")
    for model in READ_MODELS:
        _add_resource(resources, model)
    _add_list(resources, ROUTES, "my-models")
    _add_instances_of_model(resources)
    router.include_router(resources)
    return router


def _add_list(router: APIRouter, model: ReadModel, name: str) -> None:
    @router.get(f"/{name}", name=f"list {name}", response_model=None)
    async def list_resource(request: Request, context: ContextOf, caller: CallerOf) -> Response:
        listing = restricted(listing_of(request, model), model, caller)
        await wait_for(context, request)
        if flag(request.query_params, "watch"):
            return await watch(context, model, listing, number(request.query_params, "since"))
        page = await lists.read(context.db, model, listing)
        return enveloped(page, listing, shown(context, model, page.views))


def _add_resource(router: APIRouter, model: ReadModel) -> None:
    _add_list(router, model, model.resource)

    @router.get(f"/{model.resource}/{{ident}}", name=f"get {model.resource}", response_model=None)
    async def get_resource(ident: Ident, request: Request, context: ContextOf, caller: CallerOf) -> Response:
        await wait_for(context, request)
        found = await queries.view(context.db, model.resource, ident)
        if found is None or not restricted(EVERYTHING, model, caller).holds(found[0]):
            raise not_found(f"{NAMES[model.resource]} {ident}")
        return as_json(shown(context, model, [found[0]])[0], found[1])


def shown(context: Context, model: ReadModel, views: Sequence[View]) -> list[View]:
    """As the read model has them, with what telemetry tells right now of workers and downloads."""
    of = context.telemetry.of
    if model is WORKERS:
        return [in_use(view, of(view["id"])) for view in views]
    if model is MODEL_FILES:
        return [coming(view, of(view["worker_id"])) for view in views]
    if model is INSTANCES:
        return [on_its_way(view, of(view["worker_id"])) for view in views]
    return list(views)


EVERYTHING = Listing((), (("id", False),), 0, 1)


def restricted(listing: Listing, model: ReadModel, caller: Caller) -> Listing:
    """Users are the admins' business, and so are other people's keys, and routes that the caller may not
    call. Raises `Refusal` (403)."""
    if caller.is_admin or model.resource not in ("users", "api-keys", "model-routes"):
        return listing
    if model.resource == "users":
        raise forbidden("only an admin may see the users")
    own = Condition(lambda c: c.user_id == caller.user_id, lambda view: view["user_id"] == caller.user_id)
    only = own if model.resource == "api-keys" else callable_by(caller.user_id)
    return Listing((*listing.conditions, only), listing.sort, listing.page, listing.per_page)


def callable_by(user_id: int) -> Condition:
    """The routes that a user who is no admin may call."""
    return Condition(
        lambda c: or_(
            c.view["access_policy"].astext != AccessPolicy.ALLOWED_PRINCIPALS.value,
            c.view["allowed_user_ids"].contains([user_id]),
        ),
        lambda view: (
            view["access_policy"] != AccessPolicy.ALLOWED_PRINCIPALS or user_id in view["allowed_user_ids"]
        ),
    )


def _add_instances_of_model(router: APIRouter) -> None:
    @router.get("/models/{ident}/instances", response_model=None)
    async def list_instances(ident: Ident, context: ContextOf, request: Request, _: CallerOf) -> Response:
        await wait_for(context, request)
        if await queries.view(context.db, "models", ident) is None:
            raise not_found(f"model {ident}")
        of_model = Condition(lambda c: c.model_id == ident, lambda view: view["model_id"] == ident)
        listing = Listing((of_model,), (("id", False),), 0, 1)
        page = await lists.read(context.db, BY_RESOURCE["model-instances"], listing)
        return enveloped(page, listing, shown(context, INSTANCES, page.views))
