"""Shows the children's logs as they grow (`--verbose`)."""

import asyncio
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.2


async def tail(directory: Path, tell: Callable[[str], None]) -> None:
    """Every new line of every `*.log`, with the name of its program before it; without end."""
    positions = {path: path.stat().st_size for path in logs_in(directory)}
    while True:
        for path in logs_in(directory):
            positions[path], lines = new_lines(path, positions.get(path, 0))
            for line in lines:
                tell(f"[{path.stem}] {line}")
        await asyncio.sleep(POLL_S)


def logs_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.log"))


def new_lines(path: Path, position: int) -> tuple[int, list[str]]:
    """Whole lines beyond `position`, and where the next ones begin; from the start if the file is shorter."""
    with path.open("rb") as log:
        if log.seek(0, 2) < position:
            position = 0
        log.seek(position)
        text = log.read()
    end = text.rfind(b"\n") + 1
    return position + end, text[:end].decode(errors="replace").splitlines()
