"""Logs that agents keep, as text: whole, or followed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine

from modelyard_contracts.messages import LogAnswer, RangeQuestion
from modelyard_eventlog.questions import NoAnswer
from starlette.responses import Response, StreamingResponse

from modelyard_api.domain.errors import Refusal, unavailable
from modelyard_api.routes.context import Context

WAIT_S = 2.0
ASK_S = 10.0

Beyond = Callable[[LogAnswer, float], Coroutine[None, None, LogAnswer]]
"""Asks for what comes after an answer, and waits so long for it."""


async def ask(
    context: Context, worker_id: int, kind: str, question: RangeQuestion, of: str, on: str
) -> LogAnswer:
    """`of` and `on`: whose log on which worker, for people. Raises `Refusal`: 503 if that does not answer,
    404 if it has no such log."""
    try:
        answer = await context.questions.ask(worker_id, kind, question, LogAnswer, timeout_s=ASK_S)
    except NoAnswer as error:
        raise unavailable(f"the log of {of} is on {on}: {error}") from error
    if not answer.found:
        raise Refusal(404, "NotFound", f"{of}: {answer.message}")
    return answer


def as_text(context: Context, first: LogAnswer, beyond: Beyond, *, follow: bool) -> Response:
    if follow:
        return StreamingResponse(_followed(context, first, beyond), media_type="application/octet-stream")
    return StreamingResponse(_whole(first, beyond), media_type="text/plain; charset=utf-8")


async def _whole(answer: LogAnswer, beyond: Beyond) -> AsyncIterator[bytes]:
    """What comes next is asked for while what is here is sent."""
    while answer.more:
        coming = asyncio.create_task(beyond(answer, 0))
        try:
            yield answer.said
            answer = await coming
        finally:
            coming.cancel()
    yield answer.said


async def _followed(context: Context, answer: LogAnswer, beyond: Beyond) -> AsyncIterator[bytes]:
    """Until nothing can be added, or the log is gone."""
    while not answer.ended and not context.stopping.is_set():
        coming = asyncio.create_task(_patiently(context, answer, beyond))
        try:
            yield answer.said
            answer = await coming
        except Refusal:
            return
        finally:
            coming.cancel()
    yield answer.said


async def _patiently(context: Context, answer: LogAnswer, beyond: Beyond) -> LogAnswer:
    """A worker that does not answer is waited for. Raises `Refusal`."""
    while True:
        try:
            return await beyond(answer, WAIT_S)
        except Refusal as refusal:
            if refusal.code != 503 or context.stopping.is_set():
                raise
        await asyncio.sleep(WAIT_S)
