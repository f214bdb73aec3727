"""Lists with watch: what is there, then every change, resumable without a gap."""

import json
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from typing import Any

from starlette.responses import StreamingResponse

from modelyard_api.domain.errors import gone
from modelyard_api.projections import changes, lists
from modelyard_api.projections.changes import CREATED, DELETED, UPDATED, Change
from modelyard_api.projections.lists import Listing, Page
from modelyard_api.projections.rows import ReadModel, View, view_before
from modelyard_api.projections.tails import Pruned, follow
from modelyard_api.routes.context import Context
from modelyard_api.routes.streams import beating

Frame = dict[str, Any]


async def watch(context: Context, model: ReadModel, listing: Listing, since: int | None) -> StreamingResponse:
    """Frames are bare JSON documents with blank lines between; a blank line alone is a sign of life.

    Each carries `seq`: `since=<seq>` of the last frame that came resumes with nothing left out, wherever
    the stream was cut; what belongs to the same event may come again. Raises `Refusal` (410) if that is
    too long ago.
    """
    replayed: list[Frame] = []
    if since is None:
        everything = Listing(listing.conditions, [("changed_seq", False)], 0, 1)
        page = await lists.read(context.db, model, everything)
        since = page.seq
        replayed = replay(page)
    else:
        try:
            await changes.between(context.db, since, since, model.resource)
        except Pruned:
            raise gone(f"since: changes after {since} are no longer kept; watch without since") from None
    return StreamingResponse(_lines(context, model, listing, since, replayed), media_type="text/event-stream")


async def _lines(
    context: Context, model: ReadModel, listing: Listing, since: int, replayed: list[Frame]
) -> AsyncIterator[str]:
    for frame in replayed:
        yield _line(frame)

    async def behind(after: int, upto: int) -> list[Change]:
        return await changes.between(context.db, after, upto, model.resource)

    live = follow(
        context.projections.changes, since, behind, lambda change: change.resource == model.resource
    )
    async for found in beating(live, context.stopping):
        if found is None:
            yield "\n"
            continue
        for frame in news(found, listing):
            yield _line(frame)


def replay(page: Page) -> list[Frame]:
    """The rows in the order of their last change: behind any of them come the ones that changed later."""
    frames = [
        _frame(CREATED, view, {}, view["id"], seq)
        for view, seq in zip(page.views, page.changed_seqs, strict=True)
    ]
    return resumable(frames, page.seq)


def news(found: Iterable[Change], listing: Listing) -> list[Frame]:
    """What a watcher of this listing hears of changes of whole events: a row that begins to match is
    created for it, and one that ceases to is deleted."""
    frames = []
    for change in found:
        kind = _kind(change, listing)
        if kind is not None:
            frames.append(_frame(kind, change.data, change.changed_fields, change.id, change.seq))
    return resumable(frames)


def resumable(frames: list[Frame], end: int | None = None) -> list[Frame]:
    """In an event's frames only the last has its place; the others, the one before. `end`: the place of
    the last frame."""
    for frame, following in pairwise(frames):
        if following["seq"] == frame["seq"]:
            frame["seq"] -= 1
    if frames and end is not None:
        frames[-1]["seq"] = end
    return frames


def _kind(change: Change, listing: Listing) -> int | None:
    """As the listing sees it; None if it does not."""
    matches = listing.holds(change.data)
    if change.type != UPDATED:
        return change.type if matches else None
    matched = listing.holds(view_before(change.data, change.changed_fields))
    if matches and matched:
        return UPDATED
    if matches:
        return CREATED
    return DELETED if matched else None


def _frame(kind: int, data: View, changed_fields: dict[str, list[Any]], ident: int, seq: int) -> Frame:
    return {"type": kind, "data": data, "changed_fields": changed_fields, "id": ident, "seq": seq}


def _line(frame: Frame) -> str:
    return json.dumps(frame, separators=(",", ":")) + "\n\n"
