"""The newest records of a table, read once per process and shared by every stream that follows them."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from modelyard_api.adapters.database import DatabaseUnavailable
from modelyard_api.projections.positions import Position

KEEP = 5_000
PAGE = 1000
"""Records per read; what `read` gives beyond it belongs to the last event of the page."""
RETRY_S = 0.25


class Placed(Protocol):
    @property
    def seq(self) -> int: ...


T = TypeVar("T", bound=Placed)
"""Records have whole events' sequences: all records of one event come together."""


class Pruned(Exception):
    """What comes after this place is no longer kept: read everything anew."""


class Tail(Generic[T]):
    def __init__(self, source: Position, read: Callable[[int, int], Awaitable[list[T]]]) -> None:
        """`read(after, upto)` gives records of whole events, oldest first: all, or the first page."""
        self._source = source
        self._read = read
        self._records: list[T] = []
        self._floor = 0
        self._followers = 0
        self.position = Position()

    async def run(self) -> None:
        while True:
            upto = await self._source.moved(self.position.seq)
            try:
                await self._advance(upto)
            except DatabaseUnavailable:
                await asyncio.sleep(RETRY_S)
            except Pruned:
                self._restart(upto)

    def _restart(self, seq: int) -> None:
        self._records, self._floor = [], seq
        self.position.set(seq)

    async def _advance(self, upto: int) -> None:
        known = self.position.seq
        if upto < known or not self._followers or upto - known > KEEP:
            self._restart(upto)
            return
        while known < upto:
            found = await self._read(known, upto)
            known = found[-1].seq if found and found[-1].seq < upto and len(found) >= PAGE else upto
            self._records += found
        if len(self._records) > 2 * KEEP:
            self._floor = self._records[-KEEP - 1].seq
            self._records = self._records[bisect_right(self._records, self._floor, key=_seq) :]
        self.position.set(upto)

    def since(self, after: int) -> list[T] | None:
        """Everything beyond `after`; None if that is more than is held here."""
        if after < self._floor:
            return None
        return self._records[bisect_right(self._records, after, key=_seq) :]

    def join(self) -> None:
        """Somebody follows from now on; `leave` when done."""
        self._followers += 1

    def leave(self) -> None:
        self._followers -= 1


def _seq(record: Placed) -> int:
    return record.seq


async def follow(
    tail: Tail[T], after: int, read: Callable[[int, int], Awaitable[list[T]]], keep: Callable[[T], bool]
) -> AsyncIterator[list[T]]:
    """What is wanted beyond `after`, without end: from the table while behind, then from the tail.

    `read` gives the wanted ones only. Raises `Pruned` when they are no longer kept, and
    `DatabaseUnavailable`.
    """
    tail.join()
    try:
        known = tail.position.seq
        while True:
            upto = tail.position.seq
            if upto < known:
                raise Pruned
            known = upto
            if upto <= after:
                await tail.position.moved(upto)
                continue
            held = tail.since(after)
            if held is None:
                found = await read(after, upto)
                after = found[-1].seq if len(found) >= PAGE else upto
            else:
                found = [record for record in held if record.seq <= upto and keep(record)]
                after = upto
            if found:
                yield found
    finally:
        tail.leave()
