"""Lists with watch: what is there, then every change, resumable without a gap."""

import json
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

from modelyard_api.domain.errors import gone
from modelyard_api.projections import changes, lists
from modelyard_api.projections.changes import Change
from modelyard_api.projections.lists import Listing
from modelyard_api.projections.rows import ReadModel
from modelyard_api.projections.tails import Pruned, follow
from modelyard_api.routes.context import Context
from modelyard_api.routes.streams import beating


async def watch(context: Context, model: ReadModel, listing: Listing, since: int | None) -> StreamingResponse:
    """Frames are bare JSON documents with blank lines between; a blank line alone is a sign of life.

    Each carries `seq`: `since=<seq>` resumes behind it. Raises `Refusal` (410) if that is too long ago.
    """
    replayed: list[str] = []
    if since is None:
        everything = Listing(listing.conditions, [("id", False)], 0, 1)
        page = await lists.read(context.db, model, everything)
        since = page.seq
        replayed = [_frame(changes.CREATED, view, {}, view["id"], page.seq) for view in page.views]
    else:
        try:
            await changes.between(context.db, since, since, model.resource)
        except Pruned:
            raise gone(f"since: changes after {since} are no longer kept; watch without since") from None
    return StreamingResponse(
        _frames(context, model, listing, since, replayed), media_type="text/event-stream"
    )


async def _frames(
    context: Context, model: ReadModel, listing: Listing, since: int, replayed: list[str]
) -> AsyncIterator[str]:
    for frame in replayed:
        yield frame

    async def behind(after: int, upto: int) -> list[Change]:
        return await changes.between(context.db, after, upto, model.resource)

    live = follow(
        context.projections.changes, since, behind, lambda change: change.resource == model.resource
    )
    async for found in beating(live, context.stopping):
        if found is None:
            yield "\n"
            continue
        for change in found:
            if listing.holds(change.data):
                yield _frame(change.type, change.data, change.changed_fields, change.id, change.seq)


def _frame(kind: int, data: object, changed_fields: object, ident: object, seq: int) -> str:
    frame = {"type": kind, "data": data, "changed_fields": changed_fields, "id": ident, "seq": seq}
    return json.dumps(frame, separators=(",", ":")) + "\n\n"
