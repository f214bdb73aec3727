"""Models on workers' disks: prefetched, tried again, deleted. Lists are in `reads`."""

from fastapi import APIRouter, Request, Response
from modelyard_contracts.commands import ModelFileCreate
from modelyard_contracts.messages import DownloadLogQuestion, LogAnswer

from modelyard_api.domain.errors import not_found
from modelyard_api.projections import queries
from modelyard_api.projections.model_files import MODEL_FILES
from modelyard_api.routes.answers import Json, answer, settle
from modelyard_api.routes.context import AdminOf, CallerOf, CommanderOf, ContextOf, Ident
from modelyard_api.routes.listing import flag, number
from modelyard_api.routes.log_text import as_text, ask

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
    async def reset(
        ident: Ident, context: ContextOf, response: Response, _: AdminOf, by: CommanderOf
    ) -> Json:
        done = await context.handlers.model_files.reset(ident, by)
        return await answer(context, response, RESOURCE, done)

    @router.get("/{ident}/logs", response_model=None)
    async def logs(ident: Ident, request: Request, context: ContextOf, _: CallerOf) -> Response:
        found = await queries.view(context.db, RESOURCE, ident)
        if found is None:
            raise not_found(f"model file {ident}")
        file, tail = found[0], number(request.query_params, "tail")
        question = DownloadLogQuestion(model_id=file["source_index"], tail=-1 if tail is None else tail)

        async def asked(question: DownloadLogQuestion) -> LogAnswer:
            worker_id = file["worker_id"]
            on = f"worker {worker_id}"
            return await ask(context, worker_id, "download_logs", question, file["name"], on)

        async def beyond(answer: LogAnswer, wait_s: float) -> LogAnswer:
            at = {"offset": answer.next_offset, "wait_s": wait_s}
            return await asked(question.model_copy(update=at))

        follow = flag(request.query_params, "follow")
        return as_text(context, await asked(question), beyond, follow=follow)

    @router.delete("/{ident}")
    async def delete(
        ident: Ident,
        context: ContextOf,
        response: Response,
        _: AdminOf,
        by: CommanderOf,
        cleanup: bool = True,
    ) -> None:
        done = await context.handlers.model_files.delete(ident, by, cleanup=cleanup)
        await settle(context, response, done)

    return router
