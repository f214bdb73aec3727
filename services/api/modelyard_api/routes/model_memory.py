"""Measured memory beside the estimates."""

from fastapi import APIRouter, Request, Response

from modelyard_api.projections import model_memory
from modelyard_api.projections.lists import Listing, Page
from modelyard_api.routes.answers import enveloped, wait_for
from modelyard_api.routes.context import CallerOf, ContextOf
from modelyard_api.routes.listing import paging


def model_memory_router() -> APIRouter:
    router = APIRouter(prefix="/v2")

    @router.get("/model-memory", response_model=None)
    async def list_model_memory(request: Request, context: ContextOf, _: CallerOf) -> Response:
        page, per_page = paging(request.query_params)
        await wait_for(context, request)
        seq = context.projections.position()
        items = model_memory.report(await model_memory.measurements(context.db))
        shown = items if page < 1 else items[(page - 1) * per_page : page * per_page]
        return enveloped(Page(shown, (), len(items), seq), Listing((), (), page, per_page), shown)

    return router
