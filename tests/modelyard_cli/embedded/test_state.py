import json
from pathlib import Path

import pytest
from modelyard_cli.embedded.secrets import secrets_of
from modelyard_cli.embedded.state import StateDir
from modelyard_cli.errors import UsageError


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.make()
    return made


def test_secrets_are_made_once_and_for_their_owner_only(state: StateDir) -> None:
    first = secrets_of(state)
    assert secrets_of(state) == first
    for file in (state.secrets_file, state.initial_password):
        assert file.stat().st_mode & 0o777 == 0o600
    assert state.initial_password.read_text().strip() == first.first_password
    for directory in (state.nats, state.logs, state.worker):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_data_without_its_secrets_is_left_alone(state: StateDir) -> None:
    (state.nats / "jetstream").mkdir()
    with pytest.raises(UsageError, match="is missing, but there is data"):
        secrets_of(state)


def test_damaged_secrets_are_said(state: StateDir) -> None:
    secrets_of(state)
    state.secrets_file.write_text(json.dumps({"secret_key": "x"}))
    with pytest.raises(UsageError, match="cannot be read"):
        secrets_of(state)


def test_one_at_a_time(state: StateDir) -> None:
    with state.locked(), pytest.raises(UsageError, match="already running on"), state.locked():
        pass
    with state.locked():
        pass


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        StateDir(tmp_path / "file" / "state").make()
