"""Models on workers' disks: prefetched, tried again, deleted. Lists are in `reads`."""

from fastapi import APIRouter, Response
from modelyard_contracts.commands import ModelFileCreate

from modelyard_api.projections.model_files import MODEL_FILES
from modelyard_api.routes.answers import Json, answer, settle
from modelyard_api.routes.context import AdminOf, CommanderOf, ContextOf

RESOURCE = MODEL_FILES.resource


def model_file_router() -> APIRouter:
    router = APIRouter(prefix=f"/v2/{RESOURCE}")

    @router.post("")
    async def create(
        command: ModelFileCreate, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.model_files.request(command, by)
        return await answer(context, response, RESOURCE, done)

    @router.post("/{ident}/reset")
    async def reset(ident: int, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf) -> Json:
        done = await context.handlers.model_files.reset(ident, by)
        return await answer(context, response, RESOURCE, done)

    @router.delete("/{ident}")
    async def delete(
        ident: int,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
        cleanup: bool = True,
    ) -> None:
        done = await context.handlers.model_files.delete(ident, by, cleanup=cleanup)
        await settle(context, response, done)

    return router
