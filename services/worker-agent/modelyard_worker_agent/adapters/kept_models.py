"""The models that this machine keeps: a directory each, with a record of what it is.

<model id>/model.json     what it is, and whether all of it is there
<model id>/used           its time of change is the last use
<model id>/files/         the files by their paths in the repository; `.parts` holds what is not whole yet
<model id>/log/           what was said while it was fetched, in parts as of a model server's log
"""

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from modelyard_contracts.base import Contract
from modelyard_contracts.models import ModelCoordinates
from modelyard_runtime.private_files import write_private
from pydantic import ValidationError

from modelyard_worker_agent.domain.disk_room import OnDisk
from modelyard_worker_agent.domain.fetching import FetchPlan

RECORD, USED, FILES, LOG = "model.json", "used", "files", "log"


class KeptModel(Contract):
    coordinates: ModelCoordinates
    plan: FetchPlan
    whole: bool
    """Every file is there and had the right checksum."""


class KeptModels:
    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, model_id: str) -> KeptModel | None:
        try:
            return KeptModel.model_validate_json((self.root / model_id / RECORD).read_text())
        except (OSError, ValidationError):
            return None

    def whole(self, model_id: str) -> KeptModel | None:
        """A model of which nothing is missing."""
        kept = self.find(model_id)
        if kept is None or not kept.whole:
            return None
        return (
            kept if all(_is_there(self.files(model_id) / f.path, f.size) for f in kept.plan.files) else None
        )

    def all(self) -> list[tuple[str, KeptModel]]:
        """Those with a record, by id, whole or not."""
        found = ((path.parent.name, self.find(path.parent.name)) for path in self.root.glob(f"*/{RECORD}"))
        return sorted((model_id, kept) for model_id, kept in found if kept is not None)

    def files(self, model_id: str) -> Path:
        return self.root / model_id / FILES

    def log(self, model_id: str) -> Path:
        return self.root / model_id / LOG

    def served(self, model_id: str, kept: KeptModel) -> Path:
        return self.files(model_id) / kept.plan.served

    def used_now(self, model_id: str) -> None:
        with suppress(OSError):  # a disk that takes nothing more is no reason not to serve
            (self.root / model_id / USED).touch()

    def keep(self, model_id: str, kept: KeptModel) -> None:
        """Raises OSError. What an earlier record says of another revision is deleted."""
        before = self.find(model_id)
        if before is not None and before.plan.revision != kept.plan.revision:
            shutil.rmtree(self.files(model_id), ignore_errors=True)
        write_private(self.root / model_id / RECORD, kept.model_dump_json())
        self.used_now(model_id)

    def forget(self, model_id: str) -> None:
        """The files stay; they give way to others as if they were never used."""
        (self.root / model_id / RECORD).unlink(missing_ok=True)
        (self.root / model_id / USED).unlink(missing_ok=True)

    def delete(self, model_id: str) -> None:
        """The record goes first: what is left by a crash in the middle counts for nothing."""
        directory = self.root / model_id
        (directory / RECORD).unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)

    def on_disk(self, in_use: Collection[str]) -> list[OnDisk]:
        return [
            OnDisk(path.name, self.bytes_of(path.name), self._last_used(path.name), path.name in in_use)
            for path in sorted(self.root.glob("*/"))
        ]

    def bytes_of(self, model_id: str) -> int:
        """As they lie on the disk, whole or not."""
        return _bytes_below(self.files(model_id))

    def _last_used(self, model_id: str) -> float:
        try:
            return (self.root / model_id / USED).stat().st_mtime
        except OSError:
            return 0.0


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _bytes_below(directory: Path) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):  # moved at this moment
                stat = Path(parent, name).stat()
                total += min(stat.st_size, stat.st_blocks * 512)
    return total
