"""The logs of an instance, read from its worker; also after the instance is gone."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from modelyard_contracts.messages import LogAnswer, LogQuestion
from modelyard_eventlog.questions import NoAnswer
from starlette.responses import StreamingResponse

from modelyard_api.domain.errors import Refusal, invalid, not_found, unavailable
from modelyard_api.projections import queries
from modelyard_api.projections.queries import PlacedRow
from modelyard_api.routes.context import CallerOf, Context, ContextOf
from modelyard_api.routes.listing import flag, number

WAIT_S = 2.0
ASK_S = 10.0
KNOWN = frozenset({"tail", "follow", "previous", "worker_id", "container_name"})


def log_router() -> APIRouter:
    router = APIRouter(prefix="/v2/model-instances")

    @router.get("/{ident}/logs", response_model=None)
    async def logs(ident: int, request: Request, context: ContextOf, _: CallerOf) -> Response:
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
        first = await _ask(context, placed, question)
        if flag(query, "follow"):
            stream = _follow(context, placed, first)
            return StreamingResponse(stream, media_type="application/octet-stream")
        return StreamingResponse(_whole(context, placed, first), media_type="text/plain; charset=utf-8")

    @router.get("/{ident}/log-options")
    async def log_options(ident: int, context: ContextOf, _: CallerOf) -> dict[str, object]:
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
    """Raises `Refusal`: 503 if the worker does not answer, 404 if it has no such log."""
    try:
        answer = await context.questions.ask(
            placed.worker_id or 0, "logs", question, LogAnswer, timeout_s=ASK_S
        )
    except NoAnswer as error:
        raise unavailable(f"the log of {placed.name} is on {placed.worker_name}: {error}") from error
    if not answer.found:
        raise Refusal(404, "NotFound", f"{placed.name}: {answer.message}")
    return answer


async def _whole(context: Context, placed: PlacedRow, answer: LogAnswer) -> AsyncIterator[str]:
    yield answer.text
    while answer.more:
        answer = await _ask(context, placed, _beyond(placed, answer, 0))
        yield answer.text


async def _follow(context: Context, placed: PlacedRow, answer: LogAnswer) -> AsyncIterator[str]:
    """Until the model server of this start has ended; a worker that does not answer is waited for."""
    yield answer.text
    while not answer.ended and not context.stopping.is_set():
        try:
            answer = await _ask(context, placed, _beyond(placed, answer, WAIT_S))
        except Refusal as refusal:
            if refusal.code != 503:
                return
            await asyncio.sleep(WAIT_S)
            continue
        if answer.text:
            yield answer.text


def _beyond(placed: PlacedRow, answer: LogAnswer, wait_s: float) -> LogQuestion:
    return LogQuestion(
        instance_id=placed.id, attempt=answer.attempt, offset=answer.next_offset, wait_s=wait_s
    )
