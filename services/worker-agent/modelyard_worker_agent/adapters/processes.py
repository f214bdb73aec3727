"""Model servers as processes that outlive the agent: each behind a shim, in a session of its own."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from modelyard_runtime.settings import ENV_PREFIX

from modelyard_worker_agent.adapters.logfiles import LOG, StartLog, attempts, last_lines
from modelyard_worker_agent.domain.log_keeping import bytes_of_a_start, starts_to_forget
from modelyard_worker_agent.launchers import shim
from modelyard_worker_agent.ports import Launch, Listening, Process, StartFailed

REPORT = "report.json"
RUN_VARIABLE = "MODELYARD_RUN"
"""In the environment of every process of a run: its directory, by which leftovers are known."""
AGENT_VARIABLE = "MODELYARD_AGENT"
"""And whose run it is: agents in containers have directories of the same names."""
ANOTHERS = ""
"""In place of a run: the process is none of this agent's."""
POLL_S = 0.01
START_S = 10.0


class ProcessExecutor:
    """`log_bytes`: most that is kept of the logs of one instance. `agent`: a name that no other agent has."""

    in_container = False

    def __init__(self, log_bytes: int, agent: str) -> None:
        self._log_bytes = log_bytes
        self._agent = agent
        self._own: dict[int, subprocess.Popen[bytes]] = {}
        """Shims that this agent started itself, to be reaped."""

    async def start(self, launch: Launch) -> Process:
        """Returns once the server's process was started. Raises `StartFailed`."""
        directory, command = launch.directory, launch.command
        directory.mkdir(parents=True)
        prepare(launch)
        started = self._spawn(directory, command, launch.env)
        try:
            async with asyncio.timeout(START_S):
                while not (directory / "child.json").exists():
                    if started.poll() is not None:
                        raise StartFailed(f"cannot start {command[0]}: {_last_line(directory / LOG)}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            await self.end_leftovers(directory)
            raise StartFailed(f"cannot start {command[0]}: no process after {START_S:g} s") from None
        except asyncio.CancelledError:
            await self.end_leftovers(directory)
            raise
        return _recorded(directory)

    def take_up(self, directory: Path, command: Sequence[str]) -> Process:
        """A new process in the place of one that is gone: for a run that it only stood for. Blocks."""
        for name in ("shim.json", "child.json", "exit.json"):
            (directory / name).unlink(missing_ok=True)
        self._spawn(directory, command, {})
        deadline = time.monotonic() + START_S
        while not (directory / "child.json").exists() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return _recorded(directory)

    def _spawn(
        self, directory: Path, command: Sequence[str], env: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        parts = shim.log_parts(directory)
        log_bytes = str(bytes_of_a_start(self._log_bytes))
        with (parts[-1][1] if parts else directory / LOG).open("ab") as log:
            try:
                started = subprocess.Popen(
                    [sys.executable, "-I", "-S", shim.__file__, str(directory), log_bytes, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={
                        **own_environment(),
                        **env,
                        RUN_VARIABLE: str(directory),
                        AGENT_VARIABLE: self._agent,
                    },
                    cwd=directory,
                    start_new_session=True,
                )
            except OSError as error:
                raise StartFailed(f"cannot start {command[0]}: {error}") from error
        self._own[started.pid] = started
        return started

    def find(self, directory: Path) -> Process | None:
        found = _recorded(directory)
        return found if self.alive(found) else None

    def alive(self, process: Process) -> bool:
        """Reaps what ended, if it is our own child. A pid that was given to another process is not alive."""
        if process.shim_pid == 0:
            return False
        own = self._own.get(process.shim_pid)
        if own is not None and own.poll() is not None:
            del self._own[process.shim_pid]
        if shim.start_ticks(process.shim_pid) != process.shim_started:
            return False
        return not (process.directory / "exit.json").exists()

    def listening(self, directory: Path) -> Listening | None:
        report = read_record(directory / REPORT)
        if not report:
            return None
        address = urlsplit(str(report["address"]))
        return Listening(host=address.hostname or "", port=address.port or 0, version=str(report["version"]))

    def status(self, directory: Path) -> int | None:
        return read_record(directory / "exit.json").get("code")

    def runs(self, instances: Path) -> frozenset[Path]:
        found = {run for _, run in self._processes()}
        return frozenset(Path(run) for run in found if Path(run).parent.parent == instances)

    def pids(self, directory: Path) -> frozenset[int]:
        return frozenset(process.pid for process in self._members(directory))

    def ours(self, pids: Collection[int]) -> frozenset[int]:
        return frozenset(pid for pid in pids if self._run_of(pid, {}) is not None)

    def fetching(self, directory: Path) -> bool:
        return False

    def last_lines(self, directory: Path) -> tuple[str, ...]:
        return last_lines(StartLog(directory))

    def prune(self, instance: Path, *, keep: int) -> None:
        sizes = {start: StartLog(instance / str(start)).kept_bytes for start in attempts(instance)}
        for attempt in starts_to_forget(sizes, starts=keep, instance_bytes=self._log_bytes):
            shutil.rmtree(instance / str(attempt), ignore_errors=True)

    async def stop(self, process: Process, *, grace_s: float) -> bool:
        if self.alive(process):
            with suppress(ProcessLookupError):
                os.kill(process.shim_pid, signal.SIGTERM)  # it passes it on, once
        try:
            async with asyncio.timeout(grace_s):
                while self.alive(process):
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            pass
        forced = self.alive(process)
        await self.end_leftovers(process.directory)
        if forced:
            shim.write(process.directory / "exit.json", {"code": -signal.SIGKILL})
        return forced

    async def end_leftovers(self, directory: Path) -> None:
        """SIGKILL to whatever is left of a run, the shim included, until nothing is left.

        Looks again after each round: a process may have been made while its maker was being killed.
        """
        while members := self._members(directory):
            for member in members:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            await asyncio.sleep(POLL_S)
        self._reap()

    def _members(self, directory: Path) -> list[psutil.Process]:
        """Every process of a run, wherever it moved to. Pids are used again, this name is not."""
        return [process for process, run in self._processes() if run == str(directory)]

    def _processes(self) -> Iterator[tuple[psutil.Process, str]]:
        """Those of any run of this agent, with the run."""
        sessions: dict[int, str | None] = {0: ANOTHERS}
        for process in psutil.process_iter():
            run = self._run_of(process.pid, sessions)
            if run is not None:
                yield process, run

    def _run_of(self, pid: int, sessions: dict[int, str | None]) -> str | None:
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
        return mark or None

    def _mark_of(self, pid: int) -> str | None:
        """The run that its environment names; None where it names none."""
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            env = psutil.Process(pid).environ()
            if RUN_VARIABLE in env:
                return env[RUN_VARIABLE] if env.get(AGENT_VARIABLE) == self._agent else ANOTHERS
        return None

    def _reap(self) -> None:
        for pid in [pid for pid, own in self._own.items() if own.poll() is not None]:
            del self._own[pid]


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


def prepare(launch: Launch) -> None:
    """Files that the server reads, and where it will listen if that is known beforehand."""
    for name, text in launch.files.items():
        (launch.directory / name).write_text(text)
    if launch.listening is not None:
        at = launch.listening
        report = {"address": f"http://{at.host}:{at.port}", "version": at.version}
        (launch.directory / REPORT).write_text(json.dumps(report))


def free_port(host: str) -> int:
    """One that nothing listens on at this moment, chosen by the operating system."""
    with socket.socket() as chosen:
        chosen.bind((host, 0))
        port: int = chosen.getsockname()[1]
    return port


def _recorded(directory: Path) -> Process:
    """As the shim wrote it down; zeros where it did not."""
    record = read_record(directory / "shim.json")
    pid = read_record(directory / "child.json").get("pid", 0)
    return Process(directory, record.get("pid", 0), record.get("started", -1), pid)


def own_environment() -> dict[str, str]:
    """The agent's environment without its own settings: the join token is no model server's business."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return {**own, "PYTHONUNBUFFERED": "1"}


def read_record(path: Path) -> dict[str, Any]:
    """Empty where there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
