from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_worker_agent.domain.log_keeping import (
    bytes_of_a_start,
    removals_to_forget,
    starts_to_forget,
)

NOW = datetime(2026, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sizes", "forgotten"),
    [
        ({}, []),
        ({4: 500}, []),
        ({0: 1, 1: 1, 2: 1, 3: 1}, [0]),
        ({0: 1, 1: 20, 2: 30, 3: 50}, [0]),
        ({0: 1, 1: 21, 2: 30, 3: 50}, [0, 1]),
        ({0: 1, 1: 51, 2: 50}, [0, 1]),
    ],
)
def test_the_last_starts_are_kept_as_far_as_they_fit(sizes: dict[int, int], forgotten: list[int]) -> None:
    assert starts_to_forget(sizes, starts=3, instance_bytes=100) == forgotten


@given(st.dictionaries(st.integers(0, 50), st.integers(0, 100)), st.integers(1, 9), st.integers(1, 200))
def test_what_is_kept_and_what_may_still_come_fits_into_the_cap(
    sizes: dict[int, int], starts: int, most: int
) -> None:
    forgotten = starts_to_forget(sizes, starts=starts, instance_bytes=most)
    kept = [start for start in sizes if start not in forgotten]
    assert len(kept) <= starts
    assert sum(sizes[start] for start in sorted(kept)[:-1]) + bytes_of_a_start(most) <= most
    assert kept[-1:] == [] or max(sizes) in kept


def test_logs_of_removed_instances_are_kept_for_a_set_time() -> None:
    removed = {17: NOW - timedelta(days=8), 18: NOW - timedelta(days=6), 19: NOW + timedelta(hours=1)}
    assert removals_to_forget(removed, NOW, timedelta(days=7).total_seconds()) == [17]
