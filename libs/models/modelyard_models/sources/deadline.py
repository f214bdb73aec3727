"""How long a look-up may take in all, and how often it is tried: carried by the context of its thread."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from modelyard_models.sources.errors import Limited, Unreachable

LONGEST_STEP_S = 10.0
"""For one answer, or one more part of it."""
FIRST_PAUSE_S = 0.5
TRIES = 4

_ends: ContextVar[float] = ContextVar("modelyard_source_deadline")

Result = TypeVar("Result")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    token = _ends.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


def step_s() -> float:
    """How long the next step may take. Raises `Unreachable` once the time is over."""
    left = _ends.get(time.monotonic() + LONGEST_STEP_S) - time.monotonic()
    if left <= 0:
        raise Unreachable("no answer in time: try again, or raise the time-out for model sources")
    return min(left, LONGEST_STEP_S)


def retried(ask: Callable[[], Result]) -> Result:
    """Tries again what was limited, after the time the source names or a doubling pause, if time allows."""
    pause_s = FIRST_PAUSE_S
    for left in reversed(range(TRIES)):
        try:
            return ask()
        except Limited as error:
            wait_s = pause_s if error.retry_after_s is None else error.retry_after_s
            if not left or time.monotonic() + wait_s >= _ends.get(0.0):
                raise
            time.sleep(wait_s)
            pause_s *= 2
    raise AssertionError("unreachable")
