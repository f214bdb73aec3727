import json
from pathlib import Path

import pytest
from modelyard_cli.config import DEFAULT_URL, Target, login_file, resolve, save_login
from modelyard_cli.embedded.state import Addresses, StateDir


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MODELYARD_STATE_DIR", str(tmp_path / "state"))


def a_local_stack(tmp_path: Path, url: str, key: str) -> None:
    state = StateDir(tmp_path / "state")
    state.root.mkdir()
    state.address_file.write_text(json.dumps({"api": url, "gateway": "http://127.0.0.1:1"}))
    state.admin_key.write_text(key + "\n")
    assert state.addresses() == Addresses(url, "http://127.0.0.1:1")


def test_without_anything_it_is_the_default_address_and_nobody() -> None:
    assert resolve(None, None) == Target(DEFAULT_URL, None)


def test_the_stack_of_this_machine_is_found_with_its_key(tmp_path: Path) -> None:
    a_local_stack(tmp_path, "http://127.0.0.1:9", "local-key")
    assert resolve(None, None) == Target("http://127.0.0.1:9", "local-key")


def test_a_login_comes_before_the_local_stack_and_what_is_said_before_both(tmp_path: Path) -> None:
    a_local_stack(tmp_path, "http://127.0.0.1:9", "local-key")
    save_login(Target("http://far:7700", "kept"))
    assert resolve(None, None) == Target("http://far:7700", "kept")
    assert resolve("http://other:1/", "said") == Target("http://other:1", "said")


def test_a_kept_credential_goes_to_its_own_address_only() -> None:
    save_login(Target("http://far:7700", "kept"))
    assert resolve("http://elsewhere:7700", None).token is None
    assert resolve("http://far:7700/", None).token == "kept"


def test_a_login_is_readable_by_its_owner_only() -> None:
    save_login(Target("http://far:7700", "kept"))
    assert login_file().stat().st_mode & 0o777 == 0o600


def test_a_damaged_login_is_none() -> None:
    save_login(Target("http://far:7700", "kept"))
    login_file().write_text("{")
    assert resolve(None, None) == Target(DEFAULT_URL, None)
