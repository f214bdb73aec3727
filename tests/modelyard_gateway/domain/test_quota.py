"""Whether one more may come in, and what its client is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.access import RateLimits
from modelyard_gateway.domain.quota import (
    HEARD_S,
    Minute,
    Share,
    Used,
    excess,
    header_lines,
    used,
)

NOON = 1_767_268_800.0
"""A full minute, hour and half day."""


def share(now: float = NOON, *, heard_at: float | None = None, **counted: int) -> Share:
    made = Share() if heard_at is None else Share(heard_at=heard_at)
    made.roll(now)
    for name, value in counted.items():
        setattr(made, name, value)
    return made


def test_what_several_processes_counted_is_one_sum() -> None:
    shares = [share(requests=2, tokens=10, in_flight=1), share(requests=3, tokens_of_day=7, in_flight=4)]
    assert used(shares, NOON) == Used(5, 0, 10, 0, 7, 5)


def test_a_minute_counts_in_part_while_it_goes_by_and_then_no_more() -> None:
    shares = [share(requests=60, tokens=6)]
    for later, requests, before, left in ((0, 60, 0, 0), (60, 0, 60, 0), (90, 0, 60, 30), (120, 0, 0, 60)):
        so_far = used(shares, NOON + later)
        assert (so_far.requests, so_far.requests_before) == (requests, before)
        assert Minute(60, so_far.requests, so_far.requests_before).left(NOON + later) == left


def test_a_day_ends_at_midnight_and_flights_of_the_silent_are_forgotten() -> None:
    shares = [share(tokens_of_day=5, in_flight=3, heard_at=NOON)]
    assert used(shares, NOON + 1)[4:] == (5, 3)
    assert used(shares, NOON + HEARD_S)[4:] == (5, 0)
    assert used(shares, NOON + 12 * 3600)[4:] == (0, 0)
    assert shares[0].in_flight == 3
    shares[0].in_flight = 0
    assert shares[0].idle()


@pytest.mark.parametrize(
    ("limits", "so_far", "what", "retry_after_s"),
    [
        (RateLimits(), Used(9, 9, 9, 9, 9, 9), None, 0),
        (RateLimits(concurrency=2), Used(0, 0, 0, 0, 0, 1), None, 0),
        (RateLimits(concurrency=2), Used(0, 0, 0, 0, 0, 2), "requests at the same time", 1),
        (RateLimits(requests_per_minute=10), Used(9, 0, 0, 0, 0, 0), None, 0),
        (RateLimits(requests_per_minute=10), Used(10, 0, 0, 0, 0, 0), "requests a minute", 66),
        (RateLimits(requests_per_minute=10), Used(0, 10, 0, 0, 0, 0), "requests a minute", 6),
        (RateLimits(tokens_per_minute=100), Used(0, 0, 99, 0, 0, 0), None, 0),
        (RateLimits(tokens_per_minute=100), Used(0, 0, 400, 0, 0, 0), "tokens a minute", 106),
        (RateLimits(tokens_per_day=5), Used(0, 0, 0, 0, 5, 0), "tokens a day", 43_200),
    ],
)
def test_one_more_comes_in_or_is_told_when(
    limits: RateLimits, so_far: Used, what: str | None, retry_after_s: int
) -> None:
    found = excess(limits, so_far, NOON)
    assert (None if found is None else (found.what, found.retry_after_s)) == (
        None if what is None else (what, retry_after_s)
    )


@given(st.integers(1, 50), st.integers(0, 200), st.integers(0, 200), st.floats(0, 59.9))
def test_whoever_waits_as_told_comes_in(limit: int, counted: int, before: int, into_s: float) -> None:
    now = NOON + into_s
    if Minute(limit, counted, before).left(now) > 0:
        return
    shares = [share(now, requests=counted, requests_before=before)]
    later = now + Minute(limit, counted, before).wait_s(now)
    so_far = used(shares, later)
    assert Minute(limit, so_far.requests, so_far.requests_before).left(later) > 0


def test_the_tightest_limits_are_told() -> None:
    loose, tight = (
        RateLimits(requests_per_minute=100, tokens_per_minute=50),
        RateLimits(requests_per_minute=9),
    )
    lines = header_lines([(loose, Used(5, 0, 10, 0, 0, 0)), (tight, Used(5, 0, 0, 0, 0, 0))], NOON + 10)
    assert lines.decode().split("\r\n") == [
        "X-RateLimit-Limit-Requests: 9",
        "X-RateLimit-Remaining-Requests: 4",
        "X-RateLimit-Reset-Requests: 110s",
        "X-RateLimit-Limit-Tokens: 50",
        "X-RateLimit-Remaining-Tokens: 40",
        "X-RateLimit-Reset-Tokens: 110s",
        "",
    ]
    assert header_lines([(RateLimits(concurrency=1), Used(0, 0, 0, 0, 0, 0))], NOON) == b""
