import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from modelyard_cli.embedded.leftovers import end_leftovers, end_stray_postgres, record
from modelyard_cli.embedded.log_tail import new_lines
from modelyard_cli.embedded.processes import Child, Program, how_it_ended
from modelyard_cli.embedded.state import StateDir
from waiting import until

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


class Watcher:
    """A child of `code`, what it said, and which pids there have been."""

    def __init__(self, directory: Path, code: str, **fields: float) -> None:
        self.told: list[str] = []
        self.pids: list[int] = []
        program = Program("it", [sys.executable, "-c", code], directory / "it.log", **fields)  # type: ignore[arg-type]
        self.child = Child(program, self.told.append, self._changed)

    def _changed(self) -> None:
        if self.child.process is not None:
            self.pids.append(self.child.process.pid)

    def is_up(self) -> bool:
        return self.child.last_words() == "up"


@pytest.fixture
async def watchers(tmp_path: Path) -> AsyncIterator[list[Watcher]]:
    made: list[Watcher] = []
    yield made
    for one in made:
        await one.child.stop()


async def test_a_child_that_dies_is_started_again(tmp_path: Path, watchers: list[Watcher]) -> None:
    watcher = Watcher(tmp_path, SLEEP)
    watchers.append(watcher)
    await watcher.child.start()
    os.kill(watcher.pids[0], signal.SIGKILL)
    await until(lambda: len(watcher.pids) == 2)
    assert watcher.told == ["it was ended by SIGKILL; started again in 0.5 s"]
    assert os.getsid(watcher.pids[1]) == watcher.pids[1]


async def test_bad_settings_at_the_first_start_are_given_up(tmp_path: Path, watchers: list[Watcher]) -> None:
    watcher = Watcher(tmp_path, "import sys; sys.exit(print('no --database') or 2)")
    watchers.append(watcher)
    await watcher.child.start()
    await until(lambda: watcher.child.failure is not None)
    assert watcher.child.failure == "no --database"


async def test_a_child_that_was_healthy_is_never_given_up(tmp_path: Path, watchers: list[Watcher]) -> None:
    watcher = Watcher(tmp_path, "import sys; sys.exit(2)")
    watchers.append(watcher)
    watcher.child.settled = True
    await watcher.child.start()
    await until(lambda: len(watcher.pids) == 2)
    assert watcher.child.failure is None


async def test_a_child_that_does_not_end_is_killed(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, DEAF, stop_timeout_s=0.2)
    await watcher.child.start()
    await until(watcher.is_up)
    await watcher.child.stop()
    assert watcher.told == ["it did not end in 0.2 s: killed"]
    assert watcher.child.process is None


def test_how_it_ended() -> None:
    assert how_it_ended(3) == "ended with exit code 3"
    assert how_it_ended(-9) == "was ended by SIGKILL"


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.make()
    return made


async def a_process() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLEEP, stdout=asyncio.subprocess.DEVNULL
    )


async def test_recorded_leftovers_are_ended(state: StateDir) -> None:
    # the child of a shell that is gone: nobody waits for it but the one who ends it
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-c", "sleep 600 >/dev/null & echo $!"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await shell.communicate()
    record(state, {"nats": int(out)})
    ended = await asyncio.to_thread(end_leftovers, state, ["api", "nats"], {"nats": signal.SIGKILL})
    assert ended == ["nats"]
    assert not psutil.pid_exists(int(out))
    assert not state.run_record.exists()


async def test_another_program_with_the_pid_of_a_leftover_is_left_alone(state: StateDir) -> None:
    process = await a_process()
    state.run_record.write_text(f'{{"nats": {{"pid": {process.pid}, "started": 1.0}}}}')
    assert end_leftovers(state, ["nats"], {}) == []
    assert process.returncode is None
    process.kill()
    await process.wait()


async def test_a_pid_file_that_names_another_program_is_removed(tmp_path: Path) -> None:
    process = await a_process()
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n{tmp_path}\n")
    end_stray_postgres(tmp_path)
    assert not (tmp_path / "postmaster.pid").exists()
    assert process.returncode is None
    process.kill()
    await process.wait()


def test_only_whole_lines_are_shown(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_bytes(b"one\ntw")
    assert new_lines(log, 0) == (4, ["one"])
    log.write_bytes(b"one\ntwo\n")
    assert new_lines(log, 4) == (8, ["two"])
    log.write_bytes(b"new\n")
    assert new_lines(log, 8) == (4, ["new"])
