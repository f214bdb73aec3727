"""Whether one more may come in, and what its client is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.access import RateLimits
from modelyard_gateway.domain.quota import (
    HEARD_S,
    Minute,
    Share,
    excess,
    header_lines,
    used,
)

NOON = 1_767_268_800.0
"""A full minute, hour and half day."""


def share(now: float = NOON, *, heard_at: float | None = NOON, **counted: int) -> Share:
    """What another process said."""
    made = Share() if heard_at is None else Share(heard_at=heard_at)
    made.roll(now)
    for name, value in counted.items():
        setattr(made, name, value)
    return made


def own(*times: float, tokens: int = 0) -> Share:
    """What this process counted: requests at these times, and as many tokens at each of them."""
    made = Share()
    for time in times:
        made.roll(time)
        made.count_request()
        made.count_tokens(tokens)
    return made


def test_what_several_processes_counted_is_one_sum() -> None:
    others = [share(requests=2, tokens=10, in_flight=1), share(requests=3, tokens_of_day=7, in_flight=4)]
    mine = own(NOON, tokens=5)
    so_far = used(mine, others, NOON)
    assert (so_far.requests.after(NOON, 0), so_far.tokens.after(NOON, 0)) == (6, 15)
    assert so_far[2:] == (12, 5)


def test_a_minute_of_others_counts_in_part_while_it_goes_by_and_then_no_more() -> None:
    others = [share(requests=60, tokens=6)]
    for later, left in ((0, 0), (60, 0), (90, 30), (120, 60)):
        assert Minute(60, used(Share(), others, NOON + later).requests).left(NOON + later) == left


@given(st.lists(st.floats(0, 300), min_size=1, max_size=50), st.floats(0, 400))
def test_what_one_process_let_in_alone_counts_for_a_minute_and_a_second_at_most(
    times: list[float], asked: float
) -> None:
    times = sorted(time for time in times if time <= asked)
    mine = own(*(NOON + time for time in times))
    counted = used(mine, (), NOON + asked).requests.after(NOON + asked, 0)
    assert sum(time > asked - 60 for time in times) <= counted <= sum(time > asked - 61 for time in times)


def test_one_request_a_minute_waits_no_longer_than_that() -> None:
    mine = own(NOON + 0.9)
    found = excess(RateLimits(requests_per_minute=1), used(mine, (), NOON + 1.5), NOON + 1.5)
    assert found is not None
    assert found.retry_after_s == 60
    assert excess(RateLimits(requests_per_minute=1), used(mine, (), NOON + 61.5), NOON + 61.5) is None


def test_a_day_ends_at_midnight_and_flights_of_the_silent_are_forgotten() -> None:
    others = [share(tokens_of_day=5, in_flight=3)]
    assert used(Share(), others, NOON + 1)[2:] == (5, 3)
    assert used(Share(), others, NOON + HEARD_S)[2:] == (5, 0)
    assert used(Share(), others, NOON + 12 * 3600)[2:] == (0, 0)
    assert others[0].in_flight == 3
    others[0].in_flight = 0
    assert others[0].idle()


@pytest.mark.parametrize(
    ("limits", "others", "what", "retry_after_s"),
    [
        (RateLimits(), {"requests": 9, "tokens": 9, "tokens_of_day": 9, "in_flight": 9}, None, 0),
        (RateLimits(concurrency=2), {"in_flight": 1}, None, 0),
        (RateLimits(concurrency=2), {"in_flight": 2}, "requests at the same time", 1),
        (RateLimits(requests_per_minute=10), {"requests": 9}, None, 0),
        (RateLimits(requests_per_minute=10), {"requests": 10}, "requests a minute", 66),
        (RateLimits(requests_per_minute=10), {"requests_before": 10}, "requests a minute", 6),
        (RateLimits(tokens_per_minute=100), {"tokens": 99}, None, 0),
        (RateLimits(tokens_per_minute=100), {"tokens": 400}, "tokens a minute", 106),
        (RateLimits(tokens_per_day=5), {"tokens_of_day": 5}, "tokens a day", 43_200),
    ],
    ids=range(9),
)
def test_one_more_comes_in_or_is_told_when(
    limits: RateLimits, others: dict[str, int], what: str | None, retry_after_s: int
) -> None:
    found = excess(limits, used(Share(), [share(**others)], NOON), NOON)
    assert (None if found is None else (found.what, found.retry_after_s)) == (
        None if what is None else (what, retry_after_s)
    )


@given(
    st.integers(1, 50),
    st.lists(st.floats(0, 100), max_size=60),
    st.integers(0, 200),
    st.integers(0, 200),
    st.floats(100, 159.9),
)
def test_whoever_waits_as_told_comes_in(
    limit: int, times: list[float], counted: int, before: int, into_s: float
) -> None:
    now = NOON + into_s
    mine, others = (
        own(*(NOON + time for time in sorted(times))),
        [share(now, requests=counted, requests_before=before)],
    )
    minute = Minute(limit, used(mine, others, now).requests)
    if minute.left(now) > 0:
        return
    later = now + minute.wait_s(now)
    assert Minute(limit, used(mine, others, later).requests).left(later) > 0


def test_the_tightest_limits_are_told() -> None:
    loose, tight = (
        RateLimits(requests_per_minute=100, tokens_per_minute=50),
        RateLimits(requests_per_minute=9),
    )
    lines = header_lines(
        [
            (loose, used(Share(), [share(requests=5, tokens=10)], NOON + 10)),
            (tight, used(own(*[NOON + 10] * 5), (), NOON + 10)),
        ],
        NOON + 10,
    )
    assert lines.decode().split("\r\n") == [
        "X-RateLimit-Limit-Requests: 9",
        "X-RateLimit-Remaining-Requests: 4",
        "X-RateLimit-Reset-Requests: 61s",
        "X-RateLimit-Limit-Tokens: 50",
        "X-RateLimit-Remaining-Tokens: 40",
        "X-RateLimit-Reset-Tokens: 110s",
        "",
    ]
    assert header_lines([(RateLimits(concurrency=1), used(Share(), (), NOON))], NOON) == b""
