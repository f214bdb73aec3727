"""What is written down as JSON beside a run."""

import json
from pathlib import Path
from typing import Any


def read_record(path: Path) -> dict[str, Any]:
    """Empty where there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found
