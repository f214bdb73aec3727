"""Writes what is to be sent at the end of a round of the event loop, all of it together.

Whoever waits for it is woken once and finds more to do, where after each single write it would be asleep
again by the next: a wake-up costs more than the write itself.
"""

import asyncio
from collections.abc import Callable


class Outbox:
    """`at_end` calls something when all that has come in the current round was read. What is put for one
    transport stays in its order; `flush` must be called before it is closed."""

    __slots__ = ("_at_end", "_waiting")

    def __init__(self, at_end: Callable[[Callable[[], None]], object]) -> None:
        self._at_end = at_end
        self._waiting: list[tuple[asyncio.WriteTransport, bytes]] = []

    def put(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        if not self._waiting:
            self._at_end(self.flush)
        self._waiting.append((transport, data))

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
