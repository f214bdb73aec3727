"""Measures what processes hold of memory."""

import re
from collections.abc import Collection
from pathlib import Path

from modelyard_worker_agent.domain.measuring import Held, vram_held
from modelyard_worker_agent.ports import Accelerators

LINE = re.compile(r"^(Pss|Anonymous):\s+(\d+) kB$", re.MULTILINE)


class ProcessMemory:
    def __init__(self, accelerators: Accelerators) -> None:
        self._accelerators = accelerators

    def held_by(self, pids: Collection[int]) -> Held:
        found = [rollup for pid in pids if (rollup := _rollup(pid))]
        return Held(
            vram_bytes=vram_held(self._accelerators.readings(), pids),
            ram_bytes=sum(one["Pss"] for one in found) if found else None,
            anonymous_bytes=sum(one["Anonymous"] for one in found) if found else None,
        )


def _rollup(pid: int) -> dict[str, int]:
    """Empty for a process that is gone, or another user's, or where the system is not Linux."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return {}
    return {name: int(kib) * 1024 for name, kib in LINE.findall(text)}
