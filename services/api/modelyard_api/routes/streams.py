"""Streams of any kind: they end when the service does, and say something now and then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TypeVar

from modelyard_api.adapters.database import DatabaseUnavailable
from modelyard_api.projections.tails import Pruned

T = TypeVar("T")

BEAT_S = 15.0


async def beating(
    source: AsyncIterator[T], stopping: asyncio.Event, *, beat_s: float = BEAT_S
) -> AsyncIterator[T | None]:
    """What the source gives, and None after a silence of `beat_s`; until it ends or the service stops.

    A source that cannot go on ends the stream: its reader resumes from the last place it saw.
    """
    stopped = asyncio.create_task(stopping.wait())
    following: asyncio.Task[T] | None = None
    try:
        while not stopping.is_set():
            if following is None:
                following = asyncio.ensure_future(_next(source))
            await asyncio.wait({following, stopped}, timeout=beat_s, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                if not stopping.is_set():
                    yield None
                continue
            try:
                found = following.result()
            except (StopAsyncIteration, DatabaseUnavailable, Pruned):
                return
            following = None
            yield found
    finally:
        stopped.cancel()
        if following is not None:
            following.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, DatabaseUnavailable, Pruned):
                await following


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source)
