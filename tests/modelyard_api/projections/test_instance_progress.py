from datetime import UTC, datetime

import pytest
from modelyard_api.projections.instance_progress import on_its_way
from modelyard_contracts.telemetry import Telemetry

BUSY = Telemetry(
    read_at=datetime(2026, 1, 1, tzinfo=UTC),
    cpu_percent=1,
    memory_used_bytes=1,
    starting=1,
    waiting=(7, 8),
)


def said_of(ident: int, state: str, message: str | None = None) -> str | None:
    view = {"id": ident, "state": state, "state_message": message}
    view |= {"source_index": "a", "companion_source_indexes": []}
    said: str | None = on_its_way(view, BUSY)["state_message"]
    return said


def test_one_that_waits_for_others_says_for_how_many() -> None:
    assert said_of(7, "scheduled") == "waiting for 1 other to start"
    assert said_of(8, "scheduled") == "waiting for 2 others to start"
    assert said_of(9, "scheduled") is None


def test_one_that_has_to_be_started_again_says_why_as_well() -> None:
    assert said_of(7, "error", "killed") == "killed; waiting for 1 other to start"


@pytest.mark.parametrize("state", ["starting", "running"])
def test_one_that_started_meanwhile_does_not_wait(state: str) -> None:
    assert said_of(7, state) is None
