"""How callers are answered: once the read models have come far enough, with where in the log that is."""

import json
import math
from typing import Any

from fastapi import Request, Response

from modelyard_api.domain.errors import too_late, unavailable
from modelyard_api.handlers.commanding import Done
from modelyard_api.projections import queries
from modelyard_api.projections.lists import Listing, Page
from modelyard_api.projections.rows import View
from modelyard_api.routes.context import Context
from modelyard_api.routes.listing import number

Json = dict[str, Any]


async def answer(context: Context, response: Response, resource: str, done: Done) -> Json:
    """The resource once the read models have caught up with the write; `ETag` is the write's sequence.

    A write that was kept is acknowledged even if the read models are late: then with what they show.
    """
    response.headers["ETag"] = f'"{done.seq}"'
    await context.projections.wait_for(done.seq, context.settings.read_wait_s)
    found = await queries.view(context.db, resource, done.ident)
    if found is None:
        raise unavailable(
            f"the change is kept (sequence {done.seq}), but the read models are behind: "
            f"read {resource}/{done.ident} with min_seq={done.seq} in a moment"
        )
    return found[0]


async def settle(context: Context, response: Response, done: Done) -> None:
    response.headers["ETag"] = f'"{done.seq}"'
    await context.projections.wait_for(done.seq, context.settings.read_wait_s)


async def wait_for(context: Context, request: Request) -> None:
    """Read your writes: `min_seq` is the sequence a write was answered with. Raises `Refusal` (504)."""
    seq = number(request.query_params, "min_seq")
    if seq is None or await context.projections.wait_for(seq, context.settings.read_wait_s):
        return
    position = context.projections.position()
    raise too_late(f"min_seq: the read models have come to {position} only: try again in a moment")


def enveloped(page: Page, listing: Listing, items: "list[View] | Any") -> Response:
    per_page = listing.per_page if listing.page >= 1 else max(page.total, 1)
    body = {
        "items": list(items),
        "pagination": {
            "page": max(listing.page, 1),
            "perPage": per_page,
            "total": page.total,
            "totalPage": math.ceil(page.total / per_page),
        },
    }
    return as_json(body, page.seq)


def as_json(body: object, seq: int) -> Response:
    return Response(json.dumps(body), media_type="application/json", headers={"ETag": f'"{seq}"'})
