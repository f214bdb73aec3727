"""Which Modelyard a command speaks to, and as whom."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from modelyard_runtime.private_files import write_private

from modelyard_cli.embedded.state import StateDir, default_state_dir, read_if_there

DEFAULT_URL = "http://127.0.0.1:7700"


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    token: str | None
    """An API key or a session's token."""


def login_file() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "modelyard" / "login.json"


def save_login(target: Target) -> Path:
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, json.dumps({"url": target.url, "token": target.token}) + "\n")
    return path


def resolve(url: str | None, api_key: str | None, state_dir: Path | None = None) -> Target:
    """What was said wins; then what `modelyard login` kept; then the stack that runs on this machine.

    A kept credential is sent to the address only that it was made for.
    """
    kept = [found for found in (_login(), _local(state_dir or _state_dir())) if found is not None]
    if url is None:
        url = kept[0].url if kept else DEFAULT_URL
    url = url.rstrip("/")
    if api_key is None:
        api_key = next((found.token for found in kept if found.url == url), None)
    return Target(url, api_key)


def gateway_beside(api: str) -> str | None:
    """The gateway of the stack on this machine, if that is its api."""
    addresses = StateDir(_state_dir()).addresses()
    return addresses.gateway if addresses is not None and addresses.api == api else None


def _login() -> Target | None:
    try:
        kept = json.loads(login_file().read_text())
        return Target(str(kept["url"]).rstrip("/"), kept["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _local(directory: Path) -> Target | None:
    state = StateDir(directory)
    addresses = state.addresses()
    return None if addresses is None else Target(addresses.api, read_if_there(state.admin_key))


def _state_dir() -> Path:
    given = os.environ.get("MODELYARD_STATE_DIR")
    return Path(given).expanduser() if given else default_state_dir()
