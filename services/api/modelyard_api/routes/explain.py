"""Why an instance is where it is: what was decided, as the log has it, and how it stands now."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from modelyard_contracts.explanations import ExplainQuestion, Explanation
from modelyard_eventlog.questions import SCHEDULER, NoAnswer
from modelyard_placement.looks import in_groups, one_by_one

from modelyard_api.domain.errors import not_found
from modelyard_api.projections import history, moments, queries
from modelyard_api.projections.history import Filter
from modelyard_api.routes.context import CallerOf, Context, ContextOf, Ident

Json = dict[str, Any]

ASK_S = 10.0
Full = Annotated[bool, Query(description="With what each worker and device was when it was decided.")]
DECISIONS = ("InstanceScheduled", "InstanceUnschedulable")


def explain_router() -> APIRouter:
    router = APIRouter(prefix="/v2/model-instances")

    @router.get("/{ident}/explain")
    async def explain(ident: Ident, context: ContextOf, _: CallerOf, *, full: Full = False) -> Json:
        found = await queries.view(context.db, "model-instances", ident)
        if found is None:
            raise not_found(f"model instance {ident}")
        view = found[0]
        now, message = await _now(context, ident)
        return {
            "id": ident,
            "name": view["name"],
            "model_name": view["model_name"],
            "state": view["state"],
            "worker_name": view["worker_name"],
            "decision": await _decided(context, ident, full=full),
            "now": now,
            "message": message,
        }

    return router


async def _decided(context: Context, ident: int, *, full: bool) -> Json | None:
    """The last placement that was decided of it; None if there was none yet. `full`: with `looks`, what each
    worker and device was to it."""
    wanted = Filter(types=DECISIONS, subjects=(f"instance/{ident}",))
    events = await history.page(context.db, wanted, since=0, limit=1, newest_first=True)
    if not events:
        return None
    event = events[0].cloud_event
    told = {"sequence": event["sequence"], "type": event["type"], "time": event["time"], **event["data"]}
    decision = told["decision"]
    if full:
        names = {worker["id"]: worker["name"] for worker in await moments.workers(context.db)}
        told["looks"] = await asyncio.to_thread(one_by_one, decision, names)
    return {**told, "decision": await asyncio.to_thread(in_groups, decision)}


async def _now(context: Context, ident: int) -> tuple[Json | None, str | None]:
    """What a scheduler says, or why none does."""
    question = ExplainQuestion(instance_id=ident)
    try:
        answer = await context.questions.ask(SCHEDULER, "explain", question, Explanation, timeout_s=ASK_S)
    except NoAnswer as error:
        return None, str(error)
    if not answer.found:
        return None, "the scheduler does not know this instance (any more)"
    return answer.model_dump(mode="json", exclude={"found", "instance_id"}), None
