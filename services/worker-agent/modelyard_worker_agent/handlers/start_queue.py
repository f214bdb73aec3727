"""Lets so many model servers start at a time: a start takes much of a machine, and too many of them at once
starve those that serve."""

import asyncio
from bisect import insort
from dataclasses import dataclass, field


@dataclass(order=True)
class _Turn:
    is_new: bool
    """Those that had been running go first."""
    number: int
    instance_id: int
    has_come: asyncio.Event = field(default_factory=asyncio.Event, compare=False)


class StartQueue:
    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._starting: set[int] = set()
        self._waiting: list[_Turn] = []
        self._turns = 0

    @property
    def starting(self) -> int:
        return len(self._starting)

    @property
    def waiting(self) -> tuple[int, ...]:
        """The instances whose turn has not come, the next one first."""
        return tuple(turn.instance_id for turn in self._waiting)

    async def enter(self, instance_id: int, *, had_been_running: bool) -> None:
        """Returns when its turn has come. Whoever entered leaves, too."""
        self._turns += 1
        turn = _Turn(not had_been_running, self._turns, instance_id)
        insort(self._waiting, turn)
        self._let_in()
        try:
            await turn.has_come.wait()
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                self.leave(instance_id)
            raise

    def enter_at_once(self, instance_id: int) -> None:
        """Of a server that is starting already, or may not wait."""
        self._starting.add(instance_id)

    def leave(self, instance_id: int) -> None:
        """It serves or has ended, or it was not there."""
        self._starting.discard(instance_id)
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and len(self._starting) < self._at_once:
            turn = self._waiting.pop(0)
            self._starting.add(turn.instance_id)
            turn.has_come.set()
