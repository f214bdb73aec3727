"""Against real processes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from modelyard_worker_agent.adapters.logfiles import StartLog
from modelyard_worker_agent.adapters.processes import ProcessExecutor
from modelyard_worker_agent.launchers import shim
from modelyard_worker_agent.ports import Launch, Process, StartFailed
from modelyard_worker_agent_world import is_gone
from waiting import until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(1000)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\n"
    "time.sleep(1000)",
]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time\n"
    "sleeper = [sys.executable, '-c', 'import time; time.sleep(1000)']\n"
    "child = subprocess.Popen(sleeper, start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(1000)",
]

RENAMED = [
    sys.executable,
    "-c",
    "import ctypes, os, time\n"
    "child = os.fork()\n"
    "if not child:\n"
    "    fields = open('/proc/self/stat').read().rpartition(')')[2].split()\n"
    "    begin, end = int(fields[47]), int(fields[48])\n"
    "    ctypes.memset(begin, 0, end - begin)\n"
    "    print(os.getpid(), flush=True)\n"
    "time.sleep(1000)",
]
"""Its child writes over its environment, as who gives itself a long title does."""

LOG_BYTES = 2**20
AGENT = "this-agent"
EXECUTORS: list[ProcessExecutor] = []


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Path]:
    made = tmp_path / "17" / "0"
    yield made
    while EXECUTORS:
        await EXECUTORS.pop().end_leftovers(made)


async def started(
    directory: Path, command: list[str], env: dict[str, str] | None = None
) -> tuple[ProcessExecutor, Process]:
    executor = ProcessExecutor(LOG_BYTES, AGENT)
    EXECUTORS.append(executor)
    return executor, await executor.start(Launch(directory, tuple(command), env or {}))


def log_of(directory: Path) -> str:
    return (directory / "log.txt").read_text()


async def test_it_runs_in_a_session_of_its_own(directory: Path) -> None:
    executor, process = await started(directory, SLEEPER)

    assert executor.alive(process)
    assert os.getsid(process.pid) == process.shim_pid != os.getsid(0)
    assert executor.status(directory) is None


@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(7)", 7), ("import os; os.abort()", -6)])
async def test_its_end_is_known_to_who_never_started_it(directory: Path, code: str, status: int) -> None:
    _, process = await started(directory, [sys.executable, "-c", code])
    another = ProcessExecutor(LOG_BYTES, AGENT)

    await until(lambda: not another.alive(process))

    assert another.find(directory) is None
    assert another.status(directory) == status


async def test_another_executor_finds_it(directory: Path) -> None:
    _, process = await started(directory, SLEEPER)

    assert ProcessExecutor(LOG_BYTES, AGENT).find(directory) == process


async def test_a_pid_that_belongs_to_another_process_now_is_not_taken_for_it(directory: Path) -> None:
    directory.mkdir(parents=True)
    shim.write(directory / "shim.json", {"pid": os.getpid(), "started": shim.start_ticks(os.getpid()) - 1})
    executor = ProcessExecutor(LOG_BYTES, AGENT)

    assert executor.find(directory) is None
    await executor.end_leftovers(directory)  # and we are still here


async def test_a_log_is_capped_and_its_last_lines_are_kept_and_followed(directory: Path) -> None:
    noisy = "for number in range(200_000): print(f'line {number:8}')"
    executor, process = await started(directory, [sys.executable, "-c", noisy])
    log, most = StartLog(directory), 0
    offset, heard = 0, b""
    while executor.alive(process) or offset < log.size:
        most = max(most, log.kept_bytes)
        place, data = log.read(offset, 2**16)
        heard = heard + data if place == offset else data
        offset = place + len(data)
        await asyncio.sleep(0)

    assert executor.status(directory) == 0
    assert most <= LOG_BYTES // 2
    assert log.size == 200_000 * 14
    assert log.kept_bytes > LOG_BYTES // 6
    assert executor.last_lines(directory)[-1] == "line   199999"
    numbers = [int(line.split()[1]) for line in heard.decode().splitlines()]
    assert numbers == list(range(numbers[0], 200_000))
    for _, part in shim.log_parts(directory):
        assert part.read_text().startswith("line ")


async def test_earlier_starts_go_when_their_logs_are_too_large(tmp_path: Path) -> None:
    for start, size in enumerate([10, 300_000, 300_000, 10]):
        (tmp_path / str(start)).mkdir()
        (tmp_path / str(start) / "log.txt").write_bytes(b"x" * size)

    ProcessExecutor(LOG_BYTES, AGENT).prune(tmp_path, keep=5)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


async def test_it_is_asked_to_end_first(directory: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('asked', flush=True), sys.exit(3)))\n"
        "print('up', flush=True)\n"
        "time.sleep(1000)",
    ]
    executor, process = await started(directory, command)
    await until(lambda: "up" in log_of(directory))

    assert await executor.stop(process, grace_s=10) is False
    assert log_of(directory).count("asked") == 1
    assert executor.status(directory) == 3


async def test_it_is_killed_after_its_grace(directory: Path) -> None:
    executor, process = await started(directory, STUBBORN)
    await until(lambda: "deaf" in log_of(directory))

    assert await executor.stop(process, grace_s=0.1) is True
    assert is_gone(process.pid)
    assert executor.status(directory) == -signal.SIGKILL


async def test_the_whole_tree_goes_even_what_left_the_session(directory: Path) -> None:
    executor, process = await started(directory, PARENT)
    await until(lambda: log_of(directory).strip().isdecimal())
    child = int(log_of(directory))
    assert not is_gone(child)

    await executor.stop(process, grace_s=5)

    assert is_gone(child)


async def test_leftovers_of_a_killed_shim_are_ended(directory: Path) -> None:
    executor, process = await started(directory, SLEEPER)
    os.kill(process.shim_pid, signal.SIGKILL)
    await until(lambda: not executor.alive(process))
    assert not is_gone(process.pid)

    await ProcessExecutor(LOG_BYTES, AGENT).end_leftovers(directory)

    assert is_gone(process.pid)
    assert executor.status(directory) is None


async def test_one_that_wrote_over_its_environment_belongs_to_its_run_and_goes_with_it(
    directory: Path,
) -> None:
    executor, process = await started(directory, RENAMED)
    await until(lambda: log_of(directory).strip().isdecimal())
    child = int(log_of(directory))
    assert "MODELYARD_RUN" not in psutil.Process(child).environ()

    assert {process.pid, child} <= executor.pids(directory)
    assert executor.ours([child]) == {child}
    assert ProcessExecutor(LOG_BYTES, "another").ours([child]) == frozenset()

    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: not executor.alive(process))
    assert not is_gone(child)
    assert directory in executor.runs(directory.parent.parent)
    await executor.end_leftovers(directory)

    assert is_gone(child)


async def test_a_cancelled_start_leaves_nothing(directory: Path) -> None:
    starting = asyncio.create_task(started(directory, SLEEPER))
    await until(directory.exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert not [process for process in psutil.process_iter() if str(directory) in _words(process)]


async def test_a_program_that_is_not_there_is_named(directory: Path) -> None:
    with pytest.raises(StartFailed, match="/no/such/program"):
        await started(directory, ["/no/such/program"])


async def test_settings_of_the_agent_stay_with_the_agent(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_JOIN_TOKEN", "secret")
    _, process = await started(directory, SLEEPER, {"MINE": "yes"})

    environment = psutil.Process(process.pid).environ()

    assert environment["MINE"] == "yes"
    assert "MODELYARD_JOIN_TOKEN" not in environment


def _words(process: psutil.Process) -> list[str]:
    try:
        words: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return words
