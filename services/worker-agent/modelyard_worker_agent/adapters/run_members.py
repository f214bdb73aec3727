"""Which processes of this machine belong to runs of an agent."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from modelyard_worker_agent.adapters.records import read_record
from modelyard_worker_agent.launchers import shim

RUN_VARIABLE = "MODELYARD_RUN"
"""In the environment of every process of a run: its directory, by which leftovers are known."""
AGENT_VARIABLE = "MODELYARD_AGENT"
"""And whose run it is: agents in containers have directories of the same names."""
ANOTHERS = ""
"""In place of a run: the process is none of this agent's."""
YOUNG_S = 2.0
"""For so long a process may still become another program's, with other variables."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class RunMembers:
    """`agent`: a name that no other agent has."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._known: dict[tuple[int, int], str] = {}
        """By pid and start: to whom a process belongs does not change."""

    def of(self, directory: Path) -> list[psutil.Process]:
        """Every process of a run, wherever it moved to. Pids are used again, this name is not."""
        found = []
        for pid, run in self.all():
            if run == str(directory):
                with suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(pid))
        return found

    def all(self) -> Iterator[tuple[int, str]]:
        """The processes of any run of this agent, with the run."""
        sessions: dict[int, str | None] = {0: ANOTHERS}
        known, young = {}, _ticks_since_boot() - YOUNG_S * TICKS_PER_S
        for pid in psutil.pids():
            identity = (pid, shim.start_ticks(pid))
            run = self._known.get(identity)
            if run is None:
                run = self._run_of(pid, sessions)
            if run or 0 < identity[1] < young:
                known[identity] = run
            if run:
                yield pid, run
        self._known = known

    def run_of(self, pid: int) -> str | None:
        """None: it is none of this agent's."""
        return self._run_of(pid, {}) or None

    def _run_of(self, pid: int, sessions: dict[int, str | None]) -> str:
        """By its environment, or by that of its session's first process, the shim: who changes its title, as
        vLLM's workers do, writes over its own. Where the shim is gone too, by where it began. `sessions` is
        what was found out of others."""
        mark = self._mark_of(pid)
        if mark is None:
            session = _session_of(pid)
            if session not in sessions:
                alive = ANOTHERS if shim.start_ticks(session) else None
                sessions[session] = self._mark_of(session) or alive
            mark = sessions[session]
            if mark is None:
                mark = _left_of(pid, session)
        return mark or ANOTHERS

    def _mark_of(self, pid: int) -> str | None:
        """The run that its environment names; None where it names none."""
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            env = psutil.Process(pid).environ()
            if RUN_VARIABLE in env:
                return env[RUN_VARIABLE] if env.get(AGENT_VARIABLE) == self._agent else ANOTHERS
        return None


def _ticks_since_boot() -> float:
    booted_s: float = psutil.boot_time()
    return (time.time() - booted_s) * TICKS_PER_S


def _session_of(pid: int) -> int:
    """0 if it is gone."""
    with suppress(OSError):
        return os.getsid(pid)
    return 0


def _left_of(pid: int, session: int) -> str | None:
    """The run of one whose session's first process is gone: if that was a shim, it began in its directory."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        directory: str = psutil.Process(pid).cwd()
        if read_record(Path(directory) / "shim.json").get("pid") == session:
            return directory
    return None
