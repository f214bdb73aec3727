"""What the agent writes down of each instance, to go on after a restart of its own."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from modelyard_contracts.messages import Want
from modelyard_runtime.private_files import write_private

from modelyard_worker_agent.adapters.logfiles import attempts

logger = structlog.stdlib.get_logger()

GIVEN_UP = ".gone"
LAUNCHED = "launched.json"
"""Beside what the executor keeps of a start."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when a model server was running, and when it was last seen healthy."""

    since: datetime
    seen: datetime

    @property
    def seconds(self) -> float:
        return max((self.seen - self.since).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Turn:
    """How often a server was said to run since it was started, and whether that was said last."""

    number: int = 0
    ready: bool = False
    at: tuple[str, int] | None = None
    """The address that was said last."""


@dataclass(frozen=True, slots=True)
class Launched:
    """How a model server is started, as far as watching it and telling of it needs that."""

    backend: str
    version: str | None
    health_path: str | None
    arguments: tuple[str, ...]
    """Our flags and the user's."""
    command: tuple[str, ...]
    """As it may be shown."""
    injected: tuple[str, ...]
    image: str | None = None

    def text(self) -> str:
        return json.dumps(asdict(self))


class RunFiles:
    """The directories of instances: `<instance>/want.json`, `<instance>/<attempt>/`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def attempt(self, instance_id: int, attempt: int) -> Path:
        return self.root / str(instance_id) / str(attempt)

    def attempts(self, instance_id: int) -> list[int]:
        return attempts(self.root / str(instance_id))

    def keep_want(self, want: Want) -> None:
        directory = self.root / str(want.instance_id)
        directory.mkdir(parents=True, exist_ok=True)
        write_private(directory / "want.json", want.model_dump_json())

    def keep_ports(self, instance_id: int, attempt: int, ports: tuple[int, ...]) -> None:
        """Those that are held for a group."""
        kept = json.dumps({"attempt": attempt, "ports": ports})
        write_private(self.root / str(instance_id) / "ports.json", kept)

    def ports(self, instance_id: int, attempt: int) -> tuple[int, ...]:
        try:
            kept = json.loads((self.root / str(instance_id) / "ports.json").read_text())
            return tuple(kept["ports"]) if kept["attempt"] == attempt else ()
        except (OSError, ValueError, KeyError, TypeError):
            return ()

    def wants(self) -> list[Want]:
        """The last want of every instance that this machine still has something of.

        One that cannot be read is left out: its server goes on, and the want comes again with the connection.
        """
        found = []
        for path in sorted(self.root.glob("*/want.json")):
            try:
                found.append(Want.model_validate_json(path.read_text()))
            except (OSError, ValueError) as error:
                logger.error("a want cannot be read", path=str(path), error=str(error))
        return found

    def has_want(self, instance_id: int) -> bool:
        return (self.root / str(instance_id) / "want.json").exists()

    def forget_want(self, instance_id: int) -> None:
        (self.root / str(instance_id) / "want.json").unlink(missing_ok=True)

    def removed(self) -> dict[int, datetime]:
        """The instances of which only logs are left, and since when."""
        return {
            int(path.name): datetime.fromtimestamp(path.stat().st_mtime, UTC)
            for path in self.root.glob("*")
            if path.name.isdecimal() and not (path / "want.json").exists()
        }

    def give_up(self, instance_id: int) -> None:
        """From here on there is nothing of it; `sweep` frees the room."""
        path = self.root / str(instance_id)
        path.rename(path.with_suffix(GIVEN_UP))

    def sweep(self) -> None:
        for path in self.root.glob(f"*{GIVEN_UP}"):
            shutil.rmtree(path, ignore_errors=True)

    def healthy(self, directory: Path) -> Stretch | None:
        """None if the server of this start was never running."""
        path = directory / "running.json"
        try:
            since = datetime.fromisoformat(json.loads(path.read_text())["since"])
            return Stretch(since, datetime.fromtimestamp(path.stat().st_mtime, UTC))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def has_run(self, instance_id: int) -> bool:
        """Whether any start of it that is kept came to serve."""
        return any((self.root / str(instance_id)).glob("*/running.json"))

    def keep_healthy(self, directory: Path, stretch: Stretch) -> None:
        """When it was last seen is the file's time: that is kept at every look."""
        path, seen_s = directory / "running.json", stretch.seen.timestamp()
        if not path.exists():
            temporary = directory / "running.tmp"
            temporary.write_text(json.dumps({"since": stretch.since.isoformat()}))
            temporary.replace(path)
        os.utime(path, (seen_s, seen_s))

    def keep_turn(self, directory: Path, turn: Turn) -> None:
        temporary = directory / "turn.tmp"
        temporary.write_text(json.dumps(asdict(turn)))
        temporary.replace(directory / "turn.json")

    def turn(self, directory: Path) -> Turn:
        try:
            kept = json.loads((directory / "turn.json").read_text())
            at = kept.get("at")
            return Turn(int(kept["number"]), bool(kept["ready"]), (str(at[0]), int(at[1])) if at else None)
        except (OSError, ValueError, KeyError, TypeError):
            return Turn()

    def launched(self, directory: Path) -> Launched | None:
        """None if the agent was gone before it could be kept."""
        try:
            kept: dict[str, Any] = json.loads((directory / LAUNCHED).read_text())
            for name in ("arguments", "command", "injected"):
                kept[name] = tuple(kept[name])
            return Launched(**kept)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def mark_told(self, directory: Path) -> None:
        """That it was started has been said."""
        (directory / "told").touch()

    def was_told(self, directory: Path) -> bool:
        return (directory / "told").exists()

    def mark_measured(self, directory: Path) -> None:
        (directory / "measured").touch()

    def was_measured(self, directory: Path) -> bool:
        return (directory / "measured").exists()

    def mark_shut_down(self, directory: Path) -> None:
        """The agent ends this server on its own way out."""
        (directory / "shut_down").touch()

    def was_shut_down(self, directory: Path) -> bool:
        return (directory / "shut_down").exists()

    def mark_failed(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "failed").touch()
