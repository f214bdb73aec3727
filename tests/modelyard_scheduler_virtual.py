"""An event loop whose time is virtual: it never waits, it jumps to when the next thing is due.

What runs in it does the same every time: there is no other clock, no thread and no socket.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class Stuck(Exception):
    """Nothing will ever happen any more, though something is waited for."""


class _Jumping(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.time += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.time


def run_virtually(work: Coroutine[Any, Any, None]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()
