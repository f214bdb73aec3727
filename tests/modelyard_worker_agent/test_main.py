"""When the agent's credentials are renewed."""

from datetime import UTC, datetime, timedelta

import pytest
from modelyard_worker_agent.main import RENEW_LEAST_S, renewal_in_s

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("life", "expected"),
    [
        (timedelta(hours=24), 12 * 3600),
        (timedelta(seconds=30), RENEW_LEAST_S),
        (timedelta(0), 0),
        (timedelta(hours=-3), 0),
        (None, 12 * 3600),
    ],
)
def test_credentials_are_renewed_at_half_their_life(life: timedelta | None, expected: float) -> None:
    assert renewal_in_s(None if life is None else NOW + life, NOW) == expected
