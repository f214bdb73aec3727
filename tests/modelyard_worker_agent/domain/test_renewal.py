from datetime import UTC, datetime, timedelta

import pytest
from modelyard_worker_agent.domain.renewal import BORN_DEAD_S, LEAST_S, renewal_in_s, retry_in_s, trouble

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HALF_A_DAY_S = 12 * 3600


@pytest.mark.parametrize(
    ("left", "of_this_run", "of_an_earlier_one"),
    [
        (timedelta(hours=24), HALF_A_DAY_S, HALF_A_DAY_S),
        (timedelta(seconds=1), LEAST_S, LEAST_S),
        (timedelta(0), BORN_DEAD_S, 0),
        (timedelta(hours=-3), BORN_DEAD_S, 0),
        (None, HALF_A_DAY_S, 0),
    ],
)
def test_credentials_are_renewed_at_half_their_life_and_useless_ones_at_once(
    left: timedelta | None, of_this_run: float, of_an_earlier_one: float
) -> None:
    expires_at = None if left is None else NOW + left
    assert renewal_in_s(expires_at, NOW, asked=True) == of_this_run
    assert renewal_in_s(expires_at, NOW, asked=False) == of_an_earlier_one


def test_refusals_are_followed_by_ever_longer_pauses() -> None:
    assert [retry_in_s(number) for number in (1, 2, 3, 9, 10, 10_000)] == [1, 2, 4, 256, 300, 300]


@pytest.mark.parametrize(
    ("refused", "left", "said"),
    [
        (None, timedelta(hours=1), None),
        (None, None, None),
        (None, timedelta(hours=-1), "(they expired at 2025-12-31 23:00:00+00:00): the api has not answered"),
        ("bad token", timedelta(hours=1), "(good until 2026-01-01 01:00:00+00:00): bad token"),
        ("bad token", timedelta(hours=-1), "(they expired at 2025-12-31 23:00:00+00:00): bad token"),
        ("bad token", None, "(there are none): bad token"),
    ],
)
def test_trouble_is_said_with_its_reason(
    refused: str | None, left: timedelta | None, said: str | None
) -> None:
    found = trouble(refused, None if left is None else NOW + left, NOW)
    assert found is None if said is None else said in (found or "")
