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
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from modelyard_runtime.settings import ENV_PREFIX

from modelyard_worker_agent.adapters.exits import exit_of
from modelyard_worker_agent.adapters.logfiles import LOG, StartLog, attempts, last_lines
from modelyard_worker_agent.adapters.records import read_record
from modelyard_worker_agent.adapters.run_members import AGENT_VARIABLE, RUN_VARIABLE, RunMembers
from modelyard_worker_agent.domain.log_keeping import bytes_of_a_start, starts_to_forget
from modelyard_worker_agent.launchers import shim
from modelyard_worker_agent.ports import Launch, Listening, Process, StartFailed

REPORT = "report.json"
POLL_S = 0.01
START_S = 10.0


class ProcessExecutor:
    """`log_bytes`: most that is kept of the logs of one instance. `agent`: a name that no other agent has."""

    in_container = False

    def __init__(self, log_bytes: int, agent: str) -> None:
        self._log_bytes = log_bytes
        self._agent = agent
        self._members = RunMembers(agent)
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
            self._own.pop(process.shim_pid, None)
        if shim.start_ticks(process.shim_pid) != process.shim_started:
            return False
        return not (process.directory / "exit.json").exists()

    async def until_ended(self, process: Process) -> None:
        """Returns once it is not alive."""
        while self.alive(process):
            await exit_of(process.shim_pid)

    def listening(self, directory: Path) -> Listening | None:
        report = read_record(directory / REPORT)
        if not report:
            return None
        address = urlsplit(str(report["address"]))
        return Listening(host=address.hostname or "", port=address.port or 0, version=str(report["version"]))

    def status(self, directory: Path) -> int | None:
        return read_record(directory / "exit.json").get("code")

    def runs(self, instances: Path) -> frozenset[Path]:
        found = {run for _, run in self._members.all()}
        return frozenset(Path(run) for run in found if Path(run).parent.parent == instances)

    def pids(self, directory: Path) -> frozenset[int]:
        return frozenset(process.pid for process in self._members.of(directory))

    def ours(self, pids: Collection[int]) -> frozenset[int]:
        return frozenset(pid for pid in pids if self._members.run_of(pid) is not None)

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
        while members := await asyncio.to_thread(self._members.of, directory):
            for member in members:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            await asyncio.sleep(POLL_S)
        self._reap()

    def _reap(self) -> None:
        for pid in [pid for pid, own in self._own.items() if own.poll() is not None]:
            self._own.pop(pid, None)


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


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
