"""What the threads of processes had of the processors, as Linux tells it."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from modelyard_worker_agent.domain.starvation import Thread

NS = 1e-9


def threads_of(pids: Collection[int]) -> dict[int, Thread]:
    """By thread id; empty where the system does not tell."""
    found = {}
    for pid in pids:
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError, ValueError):
                    found[int(task.name)] = _thread(task)
    return found


def _thread(task: Path) -> Thread:
    """Raises OSError when it is gone, ValueError where there is no such account."""
    ran_ns, waited_ns, _ = (task / "schedstat").read_text().split()
    state = (task / "stat").read_text().rpartition(")")[2].split()[0]
    return Thread(int(ran_ns) * NS, int(waited_ns) * NS, state == "R", stopped=state in ("T", "t"))
