"""Stands between the agent and a model server, so that neither has to outlive the other.

    python shim.py DIRECTORY COMMAND [ARGUMENT ...]

It writes `shim.json` (its own pid and start time) before anything else, `child.json` once the server was
started, and `exit.json` with the server's status when it ended: an agent that was away in between can still
tell what happened. SIGTERM is passed on. Standard library only, since it starts with every model server.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def main(directory: Path, command: list[str]) -> int:
    child: subprocess.Popen[bytes] | None = None
    asked: list[int] = []

    def pass_on(number: int, _: object) -> None:
        asked.append(number)
        if child is not None:
            child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    write(directory / "shim.json", {"pid": os.getpid(), "started": start_ticks(os.getpid())})
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error}\n")
        write(directory / "exit.json", {"code": 127})
        return 127
    if asked:
        child.send_signal(asked[0])
    write(directory / "child.json", {"pid": child.pid})
    code = child.wait()
    write(directory / "exit.json", {"code": code})
    return 0


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot: with its pid, its identity. 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[19]) if fields[0] not in ("Z", "X") else 0


def write(path: Path, content: dict[str, int]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
