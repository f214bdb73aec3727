"""Small files that must never be seen half written, nor by anybody else."""

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replaces the file in one step; nobody else can read it at any moment."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
