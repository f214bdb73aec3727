"""What was used, by whom, of what, when."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams

from modelyard_api.domain.errors import forbidden, invalid
from modelyard_api.projections import usage
from modelyard_api.projections.lists import Listing, Page
from modelyard_api.projections.usage import GROUPINGS, KEYS, Question
from modelyard_api.routes.answers import enveloped
from modelyard_api.routes.context import Caller, CallerOf, ContextOf
from modelyard_api.routes.listing import number

PARAMETERS = frozenset({"from", "to", "timezone", "group_by", *KEYS})
MOST_GROUPS = 10_000
DEFAULT_SPAN = timedelta(days=30)


def usage_router() -> APIRouter:
    router = APIRouter(prefix="/v2")

    @router.get("/usage", response_model=None)
    async def show_usage(request: Request, context: ContextOf, caller: CallerOf) -> Response:
        asked = question_of(request.query_params, caller, context.now())
        found = await usage.read(context.db, asked, MOST_GROUPS + 1)
        if len(found) > MOST_GROUPS:
            raise invalid(f"group_by: makes more than {MOST_GROUPS} groups: ask for a shorter time or less")
        return enveloped(Page(found, (), len(found), 0), Listing((), (), 0, 1), found)

    return router


def question_of(query: QueryParams, caller: Caller, now: datetime) -> Question:
    """Raises `Refusal` (403, 422) naming the parameter."""
    for name in query:
        if name not in PARAMETERS:
            raise invalid(f"{name}: is not a parameter of this list")
    end = _instant(query, "to", now + timedelta(hours=1))
    start = _instant(query, "from", end - DEFAULT_SPAN)
    if start >= end:
        raise invalid("from: must be before 'to'")
    groups = [part for text in query.getlist("group_by") for part in text.split(",") if part]
    for group in groups:
        if group not in GROUPINGS:
            raise invalid(f"group_by: {group!r} is none of {', '.join(GROUPINGS)}")
    only = {name: found for name in KEYS if (found := number(query, name)) is not None}
    if not caller.is_admin and only.setdefault("user_id", caller.user_id) != caller.user_id:
        raise forbidden("user_id: only an admin may see the usage of others")
    return Question(start, end, _timezone(query.get("timezone", "UTC")), list(dict.fromkeys(groups)), only)


def _instant(query: QueryParams, name: str, default: datetime) -> datetime:
    """The hour it is in; what says no time zone is of UTC. A plus sign comes as a space from who forgot to
    escape it."""
    moment = default
    if name in query:
        try:
            moment = datetime.fromisoformat(query[name].replace(" ", "+"))
        except ValueError:
            raise invalid(f"{name}: {query[name]!r} is no time such as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid(f"timezone: {name!r} is none, such as UTC or Europe/Berlin") from None
    return name
