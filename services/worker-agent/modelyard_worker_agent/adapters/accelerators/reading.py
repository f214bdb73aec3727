"""Small readings that several kinds of devices need."""

import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

ANSWER_S = 20.0


def name_of(pid: int) -> str:
    """Empty for a process that we cannot see: it ended, or runs in another container."""
    with suppress(psutil.Error):
        return str(psutil.Process(pid).name())
    return ""


def output_of(*command: str) -> str:
    """Empty if the program is not here, fails, or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout


def text_of(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def number_in(path: Path) -> int | None:
    text = text_of(path)
    try:
        return int(text) if text else None
    except ValueError:
        return None
