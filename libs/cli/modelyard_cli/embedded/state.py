"""The state directory: where everything of one machine's Modelyard is kept, and who may use it now."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelyard_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the api and the gateway of a running stack can be reached from this machine."""

    api: str
    gateway: str


@dataclass(frozen=True, slots=True)
class StateDir:
    root: Path

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def worker(self) -> Path:
        return self.root / "worker"

    @property
    def secrets_file(self) -> Path:
        return self.root / "secrets.json"

    @property
    def run_record(self) -> Path:
        """Which processes run on this directory (`leftovers.py`)."""
        return self.root / "run.json"

    @property
    def address_file(self) -> Path:
        """`Addresses`, there while the stack runs, for commands on this machine."""
        return self.root / "address.json"

    @property
    def initial_password(self) -> Path:
        """The admin's first password, until somebody has changed it."""
        return self.root / "initial-password"

    @property
    def admin_key(self) -> Path:
        """An API key of the admin for commands on this machine."""
        return self.root / "admin-key"

    def addresses(self) -> Addresses | None:
        try:
            return Addresses(**json.loads(self.address_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def make(self) -> None:
        """Raises `UsageError`."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            # others may pass through (as root, Postgres runs as another user) but not look
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for private in (self.nats, self.logs, self.worker):
                private.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(
                f"The state directory {self.root} cannot be made: {error.strerror}.",
                hint="Give another one with --state-dir.",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held while `modelyard up` runs; the system lets it go however the process ends.

        Raises `UsageError` if another one holds it.
        """
        with (self.root / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"Modelyard is already running on {self.root}.",
                    hint="Stop it first, or give another directory with --state-dir and other ports.",
                ) from None
            yield


def default_state_dir() -> Path:
    """Root keeps it where other system services do: Postgres, which never runs as root, must reach it."""
    if os.geteuid() == 0:
        return Path("/var/lib/modelyard")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "modelyard"


def read_if_there(path: Path) -> str | None:
    """The file's text without its last line break, or None."""
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
