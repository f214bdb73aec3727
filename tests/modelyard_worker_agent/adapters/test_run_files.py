"""What the agent keeps on disk of its instances."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from modelyard_worker_agent.adapters.run_files import RunFiles, Stretch
from modelyard_worker_agent_world import spec_of, want

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_want_that_cannot_be_read_keeps_no_other_from_being_read(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    for instance in (17, 18, 19):
        files.keep_want(want(spec_of("/model.gguf"), instance=instance))
    (tmp_path / "18" / "want.json").write_text('{"instance_id": 18')

    assert [found.instance_id for found in files.wants()] == [17, 19]
    assert files.removed() == {}


def test_an_instance_is_removed_from_when_its_want_was_forgotten(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    files.keep_want(want(spec_of("/model.gguf")))
    files.forget_want(17)

    [(instance, removed_at)] = files.removed().items()
    assert instance == 17
    assert abs((datetime.now(UTC) - removed_at).total_seconds()) < 60

    files.give_up(17)
    assert files.removed() == {}
    files.sweep()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seen", "seconds"), [(NOW + timedelta(seconds=90), 90), (NOW, 0), (NOW - timedelta(hours=1), 0)]
)
def test_a_stretch_of_health_is_kept(tmp_path: Path, seen: datetime, seconds: float) -> None:
    files = RunFiles(tmp_path)
    assert files.healthy(tmp_path) is None
    files.keep_healthy(tmp_path, Stretch(NOW, seen))
    kept = files.healthy(tmp_path)
    assert kept == Stretch(NOW, seen)
    assert kept is not None
    assert kept.seconds == seconds


@pytest.mark.parametrize("text", ["", "{", "{}", '{"since": 3}', "[]"])
def test_a_damaged_stretch_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "running.json").write_text(text)
    assert RunFiles(tmp_path).healthy(tmp_path) is None
