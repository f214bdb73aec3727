"""The snapshot's file: JSON, readable by its owner alone, replaced as a whole."""

import os
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from modelyard_gateway.domain.snapshot import SHAPE, Snapshot

logger = structlog.stdlib.get_logger()

JSON: TypeAdapter[Snapshot] = TypeAdapter(Snapshot)


def read_snapshot(path: Path) -> Snapshot | None:
    """None if there is none that this build can read; the log has everything anyway."""
    try:
        snapshot = JSON.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        logger.warning("the snapshot cannot be read", path=str(path), error=str(error)[:300])
        return None
    return snapshot if snapshot.shape == SHAPE else None


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(JSON.dump_json(snapshot))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
