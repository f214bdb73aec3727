"""Stands between the agent and a model server, so that neither has to outlive the other.

    python shim.py DIRECTORY LOG_BYTES COMMAND [ARGUMENT ...]

It writes `shim.json` (its own pid and start time) before anything else, `child.json` once the server was
started, and `exit.json` with the server's status when it ended: an agent that was away in between can still
tell what happened. SIGTERM is passed on. What the server says is kept in parts, `log.txt` and then
`log.<offset of its first byte>.txt`, the oldest of which goes when there would be more than LOG_BYTES.
Standard library only, since it starts with every model server.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

PARTS = 4
"""Of a log: with one too many gone, three quarters are still there."""
READ_BYTES = 1 << 16
LAST_WORDS_S = 1.0
"""For how long a log is read on when the server has ended but something it started has not."""
PART = re.compile(r"log(?:\.(\d+))?\.txt")


def main(directory: Path, log_bytes: int, command: list[str]) -> int:
    child: subprocess.Popen[bytes] | None = None
    asked: list[int] = []

    def pass_on(number: int, _: object) -> None:
        asked.append(number)
        if child is not None:
            child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    write(directory / "shim.json", {"pid": os.getpid(), "started": start_ticks(os.getpid())})
    said, saying = os.pipe()
    try:
        child = subprocess.Popen(command, stdout=saying, stderr=saying)
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error}\n")
        write(directory / "exit.json", {"code": 127})
        return 127
    os.close(saying)
    if asked:
        child.send_signal(asked[0])
    keeping = threading.Thread(target=keep, args=(directory, said, log_bytes // PARTS), daemon=True)
    keeping.start()
    write(directory / "child.json", {"pid": child.pid})
    code = child.wait()
    keeping.join(LAST_WORDS_S)
    write(directory / "exit.json", {"code": code})
    return 0


def keep(directory: Path, said: int, part_bytes: int) -> None:
    """Copies what is said to our own standard output, which is the part that is being written."""
    begin, size = first_byte(1), os.fstat(1).st_size
    while data := os.read(said, READ_BYTES):
        if size and size + READ_BYTES > part_bytes:
            line, newline, data = data.rpartition(b"\n")
            size += write_all(line + newline)
            begin, size = begin + size, 0
            next_part(directory, begin)
        size += write_all(data)


def first_byte(descriptor: int) -> int:
    """Of the part that is open there; 0 where its name does not tell."""
    with suppress(OSError):
        name = PART.fullmatch(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        return int(name[1] or 0) if name else 0
    return 0


def next_part(directory: Path, begin: int) -> None:
    """A disk that is full keeps us in the part that we have."""
    with suppress(OSError):
        made = os.open(directory / f"log.{begin}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(made, 1)
        os.dup2(made, 2)
        os.close(made)
        for _, old in log_parts(directory)[:-PARTS]:
            old.unlink()


def write_all(data: bytes) -> int:
    """How much of it was written: what a full disk has no room for is lost, and the server goes on."""
    done = 0
    with suppress(OSError):
        while done < len(data):
            done += os.write(1, data[done:])
    return done


def log_parts(directory: Path) -> list[tuple[int, Path]]:
    """What is kept of a log, oldest first, each with the place of its first byte."""
    found = ((PART.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted((int(match[1] or 0), path) for match, path in found if match)


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
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
