"""Whether a model server that does not answer was let run at all: a machine with more work than processors
makes healthy servers silent, and to kill them would only add to the work."""

from collections.abc import Mapping
from dataclasses import dataclass

ENOUGH = 0.5
"""Of the time that a thread wanted to run, what it must have been given."""


@dataclass(frozen=True, slots=True)
class Thread:
    """What it had of the processors since it began, and for how long it waited for one."""

    ran_s: float = 0.0
    waited_s: float = 0.0
    runnable: bool = False
    """Right now it runs or waits for a processor, as opposed to sleeping or being stopped."""
    stopped: bool = False
    """By a signal, or by who debugs it: it does not go on by itself."""


def is_starved(before: Mapping[int, Thread], now: Mapping[int, Thread], elapsed_s: float) -> bool:
    """Whether any of the threads, by number, wanted to run and got less than enough."""
    return any(_went_short(before.get(number, Thread()), thread, elapsed_s) for number, thread in now.items())


def _went_short(before: Thread, now: Thread, elapsed_s: float) -> bool:
    """The wait of one that still waits is not counted yet."""
    if now.runnable and now.ran_s - before.ran_s < ENOUGH * elapsed_s:
        return True
    return now.waited_s - before.waited_s > (1 - ENOUGH) * elapsed_s
