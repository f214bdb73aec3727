"""Who this machine is: made once, kept in the state directory."""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelyard_contracts.join import JoinAnswer
from modelyard_eventlog.credentials import creds_text, new_user_seed, public_key
from modelyard_runtime.private_files import write_private


@dataclass(frozen=True, slots=True)
class Identity:
    worker_uuid: str
    seed: str

    @property
    def public_key(self) -> str:
        return public_key(self.seed)


class StateInUse(Exception):
    """Another agent works on the same state directory."""


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """One agent for a directory, for as long as this is open. Raises `StateInUse`."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / "agent.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StateInUse(
                f"another agent (process {file.read().strip()}) works on {directory}; "
                "give this one a directory of its own with --worker-state"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class IdentityFiles:
    """`identity.json`, `joined.json` and `nats.creds`, readable by their owner only."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory

    @property
    def credentials(self) -> Path:
        return self._directory / "nats.creds"

    def identity(self) -> Identity:
        path = self._directory / "identity.json"
        if not path.exists():
            made = {"worker_uuid": str(uuid.uuid4()), "seed": new_user_seed()}
            write_private(path, json.dumps(made))
        return Identity(**json.loads(path.read_text()))

    def joined(self) -> JoinAnswer | None:
        """What the api answered when this machine joined, if it ever did."""
        try:
            return JoinAnswer.model_validate_json((self._directory / "joined.json").read_text())
        except (OSError, ValueError):
            return None

    def keep(self, answer: JoinAnswer) -> None:
        write_private(self._directory / "joined.json", answer.model_dump_json())
        if answer.nats_jwt is not None:
            write_private(self.credentials, creds_text(answer.nats_jwt, self.identity().seed))
