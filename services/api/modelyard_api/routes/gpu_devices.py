"""Devices of all workers, as a resource of their own: derived from the workers, named `worker:type:index`."""

from fastapi import APIRouter, Request, Response

from modelyard_api.domain.errors import invalid, not_found
from modelyard_api.projections import lists
from modelyard_api.projections.folding import BY_RESOURCE
from modelyard_api.projections.lists import Listing, Page
from modelyard_api.projections.rows import View
from modelyard_api.projections.worker_use import DEVICE_FILTERS, devices_of, in_use
from modelyard_api.routes.answers import as_json, enveloped, wait_for
from modelyard_api.routes.context import CallerOf, Context, ContextOf
from modelyard_api.routes.listing import paging

KNOWN = frozenset({"page", "perPage", "search", "min_seq", *DEVICE_FILTERS})
ALL_WORKERS = Listing((), (("id", False),), 0, 1)


def gpu_device_router() -> APIRouter:
    router = APIRouter(prefix="/v2/gpu-devices")

    @router.get("", response_model=None)
    async def list_devices(request: Request, context: ContextOf, _: CallerOf) -> Response:
        query = request.query_params
        for name in query:
            if name not in KNOWN:
                raise invalid(f"{name}: is not a parameter of this list")
        page, per_page = paging(query)
        await wait_for(context, request)
        devices, seq = await _devices(context)
        for name, value in DEVICE_FILTERS.items():
            devices = [view for view in devices if name not in query or value(view) == query[name]]
        searched = query.get("search", "").lower()
        devices = [view for view in devices if searched in f"{view['id']} {view['name']}".lower()]
        shown = devices if page < 1 else devices[(page - 1) * per_page : page * per_page]
        return enveloped(Page(shown, (), len(devices), seq), Listing((), (), page, per_page), shown)

    @router.get("/{ident}", response_model=None)
    async def get_device(ident: str, request: Request, context: ContextOf, _: CallerOf) -> Response:
        await wait_for(context, request)
        devices, seq = await _devices(context)
        found = next((view for view in devices if view["id"] == ident), None)
        if found is None:
            raise not_found(f"GPU device {ident}")
        return as_json(found, seq)

    return router


async def _devices(context: Context) -> tuple[list[View], int]:
    page = await lists.read(context.db, BY_RESOURCE["workers"], ALL_WORKERS)
    workers = [in_use(worker, context.telemetry.of(worker["id"])) for worker in page.views]
    return devices_of(workers), page.seq
