"""Programs of backends that are installed on this machine, and their versions."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
from modelyard_backends.builtin import BUILT_IN
from modelyard_backends.placeholders import BadTemplate, fill_command
from modelyard_contracts.backends import InferenceBackend

logger = structlog.stdlib.get_logger()

ANSWER_S = 120.0
OTHERS = ("sh", "ray")
"""First words that are no backend's own: looked for on PATH, where a backend's own directory comes first."""


class Programs:
    """`own`: paths of programs by the name of the backend, in place of the first word of its commands."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._own = own
        self._versions: dict[tuple[str, ...], str | None] = {}

    def command(self, backend: str, command: Sequence[str]) -> tuple[str, ...]:
        """With the program of this machine."""
        own = self._own.get(backend)
        if own is None or not command or command[0] in (sys.executable, *OTHERS):
            return tuple(command)
        return (own, *command[1:])

    def directories(self, backend: str) -> tuple[str, ...]:
        """Where programs are that belong to the backend's own."""
        own = self._own.get(backend)
        return (str(Path(own).parent),) if own and "/" in own else ()

    def version(self, backend: InferenceBackend) -> str | None:
        """None if it is not installed, or cannot tell. Takes seconds when a program is asked first."""
        if backend.version_command is None:
            return None
        try:
            template = fill_command(backend.version_command, {"python": sys.executable})
        except BadTemplate:
            return None
        command = self.command(backend.backend_name, template)
        program = shutil.which(command[0])
        if program is None:
            return None
        key = (program, str(Path(program).stat().st_mtime_ns), *command)
        if key not in self._versions:
            self._versions[key] = _asked(command)
        return self._versions[key]

    def installed(self) -> dict[str, str]:
        """The built-in backends that can start here as processes, with their versions."""
        found = {name: self.version(backend) for name, backend in BUILT_IN.items()}
        return {str(name): version for name, version in found.items() if version is not None}


def _asked(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        logger.info("a backend's version is not known", command=command[0], error=str(error))
        return None
    words = done.stdout.split()
    return words[-1].partition("+")[0] if words else None
