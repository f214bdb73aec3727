"""The logs of an instance, read from its worker; also after the instance is gone.

Of a worker that does not answer any more, the last lines of a start that failed are in the event log.
"""

from fastapi import APIRouter, Request, Response
from modelyard_contracts.messages import LogAnswer, LogQuestion
from starlette.responses import PlainTextResponse

from modelyard_api.domain.errors import Refusal, invalid, not_found
from modelyard_api.projections import history, queries
from modelyard_api.projections.history import Filter
from modelyard_api.projections.queries import PlacedRow
from modelyard_api.routes.context import CallerOf, Context, ContextOf, Ident
from modelyard_api.routes.listing import flag, number
from modelyard_api.routes.log_text import as_text, ask

KNOWN = frozenset({"tail", "follow", "previous", "worker_id", "container_name"})
MOST_FAILURES = 20
"""The last ones of an instance are looked through for the start that is meant."""


def log_router() -> APIRouter:
    router = APIRouter(prefix="/v2/model-instances")

    @router.get("/{ident}/logs", response_model=None)
    async def logs(ident: Ident, request: Request, context: ContextOf, _: CallerOf) -> Response:
        query = request.query_params
        for name in query:
            if name not in KNOWN:
                raise invalid(f"{name}: is not a parameter of logs")
        placed = await _placed(context, ident)
        attempt = placed.attempt - 1 if flag(query, "previous") else None
        if attempt is not None and attempt < 0:
            raise Refusal(404, "NotFound", f"{placed.name} was started only once: there is no previous log")
        tail = number(query, "tail")
        question = LogQuestion(instance_id=ident, attempt=attempt, tail=-1 if tail is None else tail)
        try:
            first = await _ask(context, placed, question)
        except Refusal as refusal:
            words = await _last_words(context, placed, attempt) if refusal.code == 503 else None
            if words is None:
                raise
            return PlainTextResponse(f"[{refusal.message}]\n{words}")

        async def beyond(answer: LogAnswer, wait_s: float) -> LogAnswer:
            at = {"attempt": answer.attempt, "offset": answer.next_offset, "wait_s": wait_s}
            return await _ask(context, placed, question.model_copy(update=at))

        return as_text(context, first, beyond, follow=flag(query, "follow"))

    @router.get("/{ident}/log-options")
    async def log_options(ident: Ident, context: ContextOf, _: CallerOf) -> dict[str, object]:
        placed = await _placed(context, ident)
        worker = {"worker_id": placed.worker_id, "name": placed.worker_name, "restarts": placed.attempt}
        return {"main_worker_id": placed.worker_id, "workers": [worker]}

    return router


async def _placed(context: Context, ident: int) -> PlacedRow:
    placed = await queries.placed(context.db, ident)
    if placed is None:
        raise not_found(f"model instance {ident}")
    if placed.worker_id is None:
        raise Refusal(404, "NotFound", f"{placed.name} has no log: it has not been placed on a worker")
    return placed


async def _ask(context: Context, placed: PlacedRow, question: LogQuestion) -> LogAnswer:
    """Raises `Refusal`."""
    worker_id, on = placed.worker_id or 0, placed.worker_name or "its worker"
    return await ask(context, worker_id, "logs", question, placed.name, on)


async def _last_words(context: Context, placed: PlacedRow, attempt: int | None) -> str | None:
    """Of that start, or of the last that failed; None: there is none."""
    wanted = Filter(("InstanceFailed",), (f"instance/{placed.id}",))
    failures = await history.page(context.db, wanted, since=0, limit=MOST_FAILURES, newest_first=True)
    told = [failure.cloud_event["data"] for failure in failures]
    meant = next((data for data in told if attempt in (None, data["attempt"])), None)
    if meant is None:
        return None
    return f"[the last lines of start {meant['attempt'] + 1}, which failed:]\n" + "\n".join(
        meant["last_lines"]
    )
