"""Finds and ends what a killed `modelyard up` left running, and nothing else."""

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from modelyard_runtime.private_files import write_private

from modelyard_cli.embedded.state import StateDir

START_TOLERANCE_S = 0.05
END_TIMEOUT_S = 10.0


def record(state: StateDir, running: Mapping[str, int]) -> None:
    """Keeps which processes run, by pid and start time: a pid alone is soon another program's."""
    entries = {}
    for name, pid in running.items():
        try:
            entries[name] = {"pid": pid, "started": psutil.Process(pid).create_time()}
        except psutil.NoSuchProcess:
            continue
    write_private(state.run_record, json.dumps(entries, indent=2) + "\n")


def end_leftovers(state: StateDir, order: Sequence[str], signals: Mapping[str, signal.Signals]) -> list[str]:
    """Ends what the last run's record names and is still the same process; gives their names."""
    recorded = _recorded(state.run_record)
    found = [(name, _same_process(recorded[name])) for name in order if name in recorded]
    ended = []
    for name, process in found:
        if process is not None:
            _end(process, signals.get(name, signal.SIGTERM))
            ended.append(name)
    state.run_record.unlink(missing_ok=True)
    return ended


def end_stray_postgres(data: Path) -> None:
    """Ends every Postgres process on `data`, and removes a pid file whose process is another program by now.

    A killed postmaster leaves backends behind for a moment; no other starts while they hold its memory.
    """
    pid = _postmaster(data)
    running = _postgres_on(data)
    for process in sorted(running, key=lambda process: process.pid != pid):
        # without their postmaster, backends end by themselves unless they are stuck
        _end(process, signal.SIGINT if process.pid == pid else signal.SIGQUIT)
    if pid is not None and psutil.pid_exists(pid):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _postmaster(data: Path) -> int | None:
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _postgres_on(data: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and Path(process.cwd()) == data.resolve():
                found.append(process)
        except psutil.Error:
            continue
    return found


def _recorded(path: Path) -> dict[str, dict[str, float]]:
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _same_process(entry: Mapping[str, float]) -> psutil.Process | None:
    try:
        process = psutil.Process(int(entry["pid"]))
        same = abs(process.create_time() - float(entry["started"])) < START_TOLERANCE_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, KeyError, ValueError):
        return None


def _end(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
        process.wait(END_TIMEOUT_S)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(END_TIMEOUT_S)
    except psutil.NoSuchProcess:
        return
