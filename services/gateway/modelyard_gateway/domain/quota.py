"""How much of its limits a key, a user or a route has used, and whether one more request may come in.

A minute is the sixty seconds before now. What this process counted is known to the second; of what others
did, it is what came in this minute of the clock, and that part of the one before it which still lies within
them, as if it had been spread evenly. A day is one of UTC.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from modelyard_contracts.access import RateLimits

MINUTE_S = 60
DAY_S = 86_400
HEARD_S = 5.0
"""For so long, what another process says of its requests in flight is believed."""


class Recent:
    """What came in within the last sixty seconds, and up to one second more."""

    __slots__ = ("_by_second", "_second", "total")

    def __init__(self) -> None:
        self._by_second = [0] * (MINUTE_S + 1)
        self._second = 0
        self.total = 0

    def roll(self, now: float) -> None:
        second = int(now)
        for gone in range(max(self._second + 1, second - MINUTE_S), second + 1):
            place = gone % len(self._by_second)
            self.total -= self._by_second[place]
            self._by_second[place] = 0
        self._second = max(self._second, second)

    def add(self, count: int) -> None:
        self._by_second[self._second % len(self._by_second)] += count
        self.total += count

    def after(self, seconds: int) -> int:
        """What of it still counts then."""
        if not seconds or not self.total:
            return self.total
        count = len(self._by_second)
        return sum(self._by_second[(self._second - age) % count] for age in range(count - seconds))

    def gone_s(self) -> int:
        """Seconds until nothing of it counts."""
        count = len(self._by_second)
        ages = (age for age in range(count) if self._by_second[(self._second - age) % count])
        return count - next(ages, count)


class Share:
    """What one process counted. Times are Unix times."""

    __slots__ = (
        "day", "heard_at", "in_flight", "minute", "recent_requests", "recent_tokens", "requests",
        "requests_before", "tokens", "tokens_before", "tokens_of_day",
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
        self.recent_requests = Recent()
        self.recent_tokens = Recent()
        """Of this process; nothing where another said it."""

    def count_request(self) -> None:
        """Rolled to now."""
        self.requests += 1
        self.recent_requests.add(1)
        self.in_flight += 1

    def count_tokens(self, tokens: int) -> None:
        """Of a request that has ended; rolled to now."""
        self.in_flight -= 1
        self.tokens += tokens
        self.tokens_of_day += tokens
        self.recent_tokens.add(tokens)

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
        self.recent_requests.roll(now)
        self.recent_tokens.roll(now)

    def idle(self) -> bool:
        counted = (self.requests, self.requests_before, self.tokens, self.tokens_before, self.tokens_of_day)
        return not any(counted) and self.in_flight <= 0


class Counted(NamedTuple):
    """Within a minute: by this process, and by others in this one of the clock and the one before."""

    own: Recent
    others: int = 0
    before: int = 0

    def after(self, now: float, seconds: int) -> float:
        """What still counts then, if nothing comes in meanwhile."""
        passed, into = divmod(now % MINUTE_S + seconds, MINUTE_S)
        still = 1 - into / MINUTE_S
        others = (self.others + self.before * still, self.others * still)[int(passed)] if passed < 2 else 0
        return self.own.after(seconds) + others


class Used(NamedTuple):
    """Of all processes together."""

    requests: Counted
    tokens: Counted
    tokens_of_day: int
    in_flight: int


def used(own: Share, others: Iterable[Share], now: float) -> Used:
    """Rolls them on."""
    own.roll(now)
    sums, of_day, in_flight = [0] * 4, own.tokens_of_day, own.in_flight
    for share in others:
        share.roll(now)
        sums[0] += share.requests
        sums[1] += share.requests_before
        sums[2] += share.tokens
        sums[3] += share.tokens_before
        of_day += share.tokens_of_day
        if share.heard_at + HEARD_S > now:
            in_flight += share.in_flight
    requests, tokens = own.recent_requests, own.recent_tokens
    return Used(Counted(requests, sums[0], sums[1]), Counted(tokens, sums[2], sums[3]), of_day, in_flight)


class Minute(NamedTuple):
    limit: int
    counted: Counted

    def left(self, now: float) -> int:
        return self._left(now, 0)

    def reset_s(self, now: float) -> int:
        """Until all of it is left, if nothing comes in meanwhile."""
        counted, rest = self.counted, MINUTE_S - now % MINUTE_S
        others = rest + MINUTE_S if counted.others else rest if counted.before else 0
        return max(counted.own.gone_s(), math.ceil(others))

    def wait_s(self, now: float) -> int:
        """Until one is left, if nothing comes in meanwhile and none is left now."""
        return next((wait for wait in range(1, 2 * MINUTE_S) if self._left(now, wait)), 2 * MINUTE_S)

    def _left(self, now: float, seconds: int) -> int:
        return max(0, math.floor(self.limit - self.counted.after(now, seconds) + 1e-9))


def minutes(limits: RateLimits, so_far: Used) -> Iterator[tuple[str, Minute]]:
    if limits.requests_per_minute is not None:
        yield "Requests", Minute(limits.requests_per_minute, so_far.requests)
    if limits.tokens_per_minute is not None:
        yield "Tokens", Minute(limits.tokens_per_minute, so_far.tokens)


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
