"""The events themselves: pages and a stream of CloudEvents, filtered, resumable."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import EVENT_TYPES
from starlette.datastructures import QueryParams
from starlette.responses import StreamingResponse

from modelyard_api.domain.errors import MOST_BIGINT, invalid, too_late
from modelyard_api.projections import history
from modelyard_api.projections.history import Archived, Filter
from modelyard_api.projections.tails import follow
from modelyard_api.routes.context import CallerOf, Context, ContextOf
from modelyard_api.routes.listing import flag, number
from modelyard_api.routes.streams import beating

KNOWN = frozenset({"type", "subject", "since", "limit", "order", "follow", "min_seq"})
MOST = 1000
UNSHOWN = frozenset({"password_hash", "secret_hash", "sealed_token", "sealed_api_key"})
"""What the log keeps and nobody may read over HTTP: a hash, a sealed token is something to attack."""


def event_router() -> APIRouter:
    router = APIRouter(prefix="/v2")

    @router.get("/events", response_model=None)
    async def events(request: Request, context: ContextOf, _: CallerOf) -> Response:
        query = request.query_params
        wanted = filter_of(query)
        min_seq = number(query, "min_seq")
        if min_seq is not None and not await context.projections.wait_for_archive(
            min_seq, context.settings.read_wait_s
        ):
            raise too_late(
                f"min_seq: the archive has come to {context.projections.archived()} only: try again"
            )
        if "text/event-stream" in request.headers.get("accept", "") or flag(query, "follow"):
            since = _resume_from(request, context)
            return StreamingResponse(_stream(context, wanted, since), media_type="text/event-stream")
        return await _page(context, query, wanted)

    return router


def filter_of(query: QueryParams) -> Filter:
    """Raises `Refusal` (422) for what is not known."""
    for name in query:
        if name not in KNOWN:
            raise invalid(f"{name}: is not a parameter of events")
    types, subjects = tuple(query.getlist("type")), tuple(query.getlist("subject"))
    for name in types:
        if name not in EVENT_TYPES:
            raise invalid(f"type: there is no event {name!r}")
    for subject in subjects:
        kind, _, ident = subject.partition("/")
        if kind not in [aggregate.value for aggregate in Aggregate] or not ident:
            raise invalid(f"subject: {subject!r} is not <aggregate>/<id>, as in deployment/3")
    return Filter(types, subjects)


def shown(event: Archived) -> dict[str, Any]:
    data = {name: value for name, value in event.cloud_event["data"].items() if name not in UNSHOWN}
    return {**event.cloud_event, "data": data}


async def _page(context: Context, query: QueryParams, wanted: Filter) -> Response:
    limit = number(query, "limit")
    if limit is not None and not 1 <= limit <= MOST:
        raise invalid(f"limit: must be between 1 and {MOST}")
    order = query.get("order", "asc")
    if order not in ("asc", "desc"):
        raise invalid(f"order: {order!r} is neither asc nor desc")
    since = number(query, "since") or 0
    found = await history.page(
        context.db, wanted, since=since, limit=limit or 100, newest_first=order == "desc"
    )
    body = {
        "items": [shown(event) for event in found],
        "next_since": max((event.seq for event in found), default=since),
    }
    return Response(json.dumps(body), media_type="application/json")


def _resume_from(request: Request, context: Context) -> int:
    """`Last-Event-ID`, else `since`, else only what comes from now on. Raises `Refusal` (422)."""
    last = request.headers.get("last-event-id")
    if last is not None:
        if not last.isdecimal() or int(last) > MOST_BIGINT:
            raise invalid(f"Last-Event-ID: {last!r} is not a sequence")
        return int(last)
    since = number(request.query_params, "since")
    return context.projections.archived() if since is None else since


async def _stream(context: Context, wanted: Filter, since: int) -> AsyncIterator[str]:
    """Server-sent events; a comment now and then as a sign of life."""
    yield ": events\n\n"

    async def behind(after: int, upto: int) -> list[Archived]:
        return await history.between(context.db, after, upto, wanted)

    live = follow(context.projections.history, since, behind, wanted.matches)
    async for found in beating(live, context.stopping):
        if found is None:
            yield ": still here\n\n"
            continue
        for event in found:
            data = json.dumps(shown(event), separators=(",", ":"))
            yield f"id: {event.seq}\nevent: {event.type}\ndata: {data}\n\n"
