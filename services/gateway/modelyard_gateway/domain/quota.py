"""How much of its limits a key, a user or a route has used, and whether one more request may come in.

A minute is the sixty seconds before now: what came in this minute of the clock, and that part of the one
before it which still lies within them, as if it had been spread evenly. A day is one of UTC.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from modelyard_contracts.access import RateLimits

MINUTE_S = 60
DAY_S = 86_400
HEARD_S = 5.0
"""For so long, what another process says of its requests in flight is believed."""


class Share:
    """What one process counted. Times are Unix times."""

    __slots__ = (
        "day", "heard_at", "in_flight", "minute", "requests", "requests_before", "tokens", "tokens_before",
        "tokens_of_day",
    )  # fmt: skip

    def __init__(self, minute: int = 0, day: int = 0, *, heard_at: float = math.inf) -> None:
        self.minute = minute
        self.requests = 0
        self.requests_before = 0
        """In the minute before."""
        self.tokens = 0
        self.tokens_before = 0
        self.day = day
        self.tokens_of_day = 0
        self.in_flight = 0
        self.heard_at = heard_at
        """When another process said so."""

    def roll(self, now: float) -> None:
        """To the minute and the day of `now`."""
        minute = int(now // MINUTE_S)
        if minute > self.minute:
            next_one = minute == self.minute + 1
            self.requests_before = self.requests if next_one else 0
            self.tokens_before = self.tokens if next_one else 0
            self.requests = self.tokens = 0
            self.minute = minute
        day = int(now // DAY_S)
        if day > self.day:
            self.day, self.tokens_of_day = day, 0

    def idle(self) -> bool:
        counted = (self.requests, self.requests_before, self.tokens, self.tokens_before, self.tokens_of_day)
        return not any(counted) and self.in_flight <= 0


class Used(NamedTuple):
    """Of all processes together."""

    requests: int
    requests_before: int
    tokens: int
    tokens_before: int
    tokens_of_day: int
    in_flight: int


def used(shares: Iterable[Share], now: float) -> Used:
    """Rolls them on."""
    sums = [0] * 6
    for share in shares:
        share.roll(now)
        sums[0] += share.requests
        sums[1] += share.requests_before
        sums[2] += share.tokens
        sums[3] += share.tokens_before
        sums[4] += share.tokens_of_day
        if share.heard_at + HEARD_S > now:
            sums[5] += share.in_flight
    return Used(*sums)


class Minute(NamedTuple):
    """A limit on what comes in within a minute, and what came in this one and the one before."""

    limit: int
    counted: int
    before: int

    def left(self, now: float) -> int:
        still = 1 - now % MINUTE_S / MINUTE_S
        return max(0, math.floor(self.limit - self.counted - self.before * still + 1e-9))

    def reset_s(self, now: float) -> int:
        """Until all of it is left, if nothing comes in meanwhile."""
        rest = MINUTE_S - now % MINUTE_S
        return math.ceil(rest + MINUTE_S if self.counted else rest if self.before else 0)

    def wait_s(self, now: float) -> int:
        """Until one is left, if nothing comes in meanwhile and none is left now."""
        rest = MINUTE_S - now % MINUTE_S
        if self.counted < self.limit:
            wait = rest - MINUTE_S * (self.limit - 1 - self.counted) / max(1, self.before)
        else:
            wait = rest + MINUTE_S * (1 - (self.limit - 1) / self.counted)
        return max(1, math.ceil(wait))


def minutes(limits: RateLimits, so_far: Used) -> Iterator[tuple[str, Minute]]:
    if limits.requests_per_minute is not None:
        yield "Requests", Minute(limits.requests_per_minute, so_far.requests, so_far.requests_before)
    if limits.tokens_per_minute is not None:
        yield "Tokens", Minute(limits.tokens_per_minute, so_far.tokens, so_far.tokens_before)


class Excess(NamedTuple):
    """Why a request may not come in, and after how many seconds it may be tried again."""

    what: str
    limit: int
    retry_after_s: int


def excess(limits: RateLimits, so_far: Used, now: float) -> Excess | None:
    """A request comes in as long as the tokens so far are below their limit: how many it takes is known
    only when it ends."""
    limit = limits.concurrency
    if limit is not None and so_far.in_flight >= limit:
        return Excess("requests at the same time", limit, 1)
    for what, minute in minutes(limits, so_far):
        if minute.left(now) < 1:
            return Excess(f"{what.lower()} a minute", minute.limit, minute.wait_s(now))
    limit = limits.tokens_per_day
    if limit is not None and so_far.tokens_of_day >= limit:
        return Excess("tokens a day", limit, math.ceil(DAY_S - now % DAY_S))
    return None


def header_lines(found: Iterable[tuple[RateLimits, Used]], now: float) -> bytes:
    """As OpenAI's API says them, of those limits that leave the least
    (https://platform.openai.com/docs/guides/rate-limits)."""
    tightest: dict[str, Minute] = {}
    for limits, so_far in found:
        for what, minute in minutes(limits, so_far):
            known = tightest.get(what)
            if known is None or minute.left(now) < known.left(now):
                tightest[what] = minute
    return b"".join(
        b"X-RateLimit-Limit-%b: %d\r\nX-RateLimit-Remaining-%b: %d\r\nX-RateLimit-Reset-%b: %ds\r\n"
        % (name, minute.limit, name, minute.left(now), name, minute.reset_s(now))
        for name, minute in ((what.encode(), minute) for what, minute in tightest.items())
    )
