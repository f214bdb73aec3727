"""What every executor promises, shown by each: processes, and containers of a real Docker engine."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from modelyard_worker_agent.adapters.docker import Docker, DockerExecutor
from modelyard_worker_agent.adapters.logfiles import StartLog
from modelyard_worker_agent.adapters.processes import ProcessExecutor
from modelyard_worker_agent.launchers.engine import Engine
from modelyard_worker_agent.ports import Container, Launch, Listening, Process, StartFailed
from waiting import until

LOG_BYTES = 2**20
AGENT = "this-agent"
SOCKET = os.environ.get("MODELYARD_TEST_DOCKER", "")
IMAGE = os.environ.get("MODELYARD_TEST_IMAGE", "python:3.11-slim")
SERVE = (
    "import http.server, sys\n"
    "http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind=sys.argv[2])"
)
DEAF = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\n"
    "time.sleep(1000)"
)
POLITE = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('asked', flush=True), sys.exit(3)))\n"
    "print('up', flush=True)\n"
    "time.sleep(1000)"
)
PARENT = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'], start_new_session=True)\n"
    "print('up', flush=True)\n"
    "time.sleep(1000)"
)


@dataclass
class Case:
    """One kind of executor. `again` makes another one that knows nothing of the first."""

    again: Callable[[], ProcessExecutor]
    python: str
    in_container: bool
    directory: Path
    executor: ProcessExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.executor = self.again()

    async def start(self, code: str, *arguments: str, **env: str) -> Process:
        command = (self.python, "-u", "-c", code, *arguments)
        return await self.executor.start(self.launch(command, env))

    def launch(self, command: tuple[str, ...], env: dict[str, str], memory_bytes: int = 0) -> Launch:
        container = Container(IMAGE, port=8000, version="1", memory_bytes=memory_bytes)
        at = Listening("127.0.0.1", 0, "1")
        return Launch(self.directory, command, env, {"note.txt": "read me"}, at, container)

    def log(self) -> str:
        return StartLog(self.directory).read(0, LOG_BYTES)[1].decode()

    async def says(self, word: str) -> None:
        await until(lambda: word in self.log(), 60)

    def left(self) -> int:
        """How many processes or containers of the run are there."""
        if self.in_container:
            return len(Engine(SOCKET).labelled({"modelyard.run": str(self.directory)}))
        return sum(1 for process in psutil.process_iter() if self._is_ours(process))

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return str(self.directory) in process.environ().values()
        except psutil.Error:
            return False


@pytest.fixture(params=["process", "docker"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    directory = tmp_path / "17" / "0"
    if request.param == "process":
        made = Case(lambda: ProcessExecutor(LOG_BYTES, AGENT), sys.executable, False, directory)
    else:
        if not SOCKET:
            pytest.skip("no Docker engine: MODELYARD_TEST_DOCKER names no socket (see make test-docker)")
        docker = Docker(SOCKET, network=None, worker_id=3)
        made = Case(lambda: DockerExecutor(LOG_BYTES, AGENT, docker), "python3", True, directory)
    yield made
    await made.executor.end_leftovers(directory)


async def test_it_runs_and_another_executor_finds_it(case: Case) -> None:
    process = await case.start(POLITE)
    await case.says("up")

    assert case.executor.alive(process)
    assert case.executor.status(case.directory) is None
    assert case.again().find(case.directory) == process


@pytest.mark.parametrize(
    ("code", "status"), [("raise SystemExit(7)", 7), ("import os; os.abort()", -signal.SIGABRT)]
)
async def test_its_end_is_known_to_who_never_started_it(case: Case, code: str, status: int) -> None:
    process = await case.start(f"print('first'); print('last'); import sys; sys.stdout.flush(); {code}")
    another = case.again()

    await until(lambda: not another.alive(process), 60)

    assert another.find(case.directory) is None
    assert another.status(case.directory) == status
    assert [line for line in another.last_lines(case.directory) if line in ("first", "last")] == [
        "first",
        "last",
    ]


async def test_variables_and_files_are_there(case: Case) -> None:
    code = "import os; print('MINE=' + os.environ['MINE'])"
    process = await case.start(code, MINE="a b")

    await until(lambda: not case.executor.alive(process), 60)

    assert "MINE=a b" in case.log()
    assert (case.directory / "note.txt").read_text() == "read me"
    kept = [path.read_text() for path in case.directory.glob("*.json")]
    assert not any("a b" in text for text in kept)


async def test_it_is_asked_to_end_first(case: Case) -> None:
    process = await case.start(POLITE)
    await case.says("up")

    assert await case.executor.stop(process, grace_s=20) is False
    assert case.log().count("asked") == 1
    assert case.executor.status(case.directory) == 3
    assert case.left() == 0


async def test_it_is_killed_after_its_grace(case: Case) -> None:
    process = await case.start(DEAF)
    await case.says("deaf")

    assert await case.executor.stop(process, grace_s=0.3) is True
    assert case.executor.status(case.directory) == -signal.SIGKILL
    assert case.left() == 0


async def test_the_whole_tree_goes(case: Case) -> None:
    process = await case.start(PARENT)
    await case.says("up")

    await case.executor.stop(process, grace_s=0.3)

    assert case.left() == 0


async def test_what_a_killed_process_of_ours_leaves_is_ended(case: Case) -> None:
    process = await case.start(POLITE)
    await case.says("up")
    os.kill(process.shim_pid, signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: not case.executor.alive(process))

    await case.again().end_leftovers(case.directory)

    assert case.left() == 0


async def test_a_program_that_is_not_there_is_named(case: Case) -> None:
    async def start_and_end() -> str:
        process = await case.executor.start(case.launch(("/no/such/program",), {}))
        await until(lambda: not case.executor.alive(process), 60)
        return " ".join(case.executor.last_lines(case.directory))

    try:
        said = await start_and_end()
    except StartFailed as error:
        said = str(error)
    assert "/no/such/program" in said


async def test_a_cancelled_start_leaves_nothing(case: Case) -> None:
    starting = asyncio.create_task(case.start(POLITE))
    await until(case.directory.exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert case.left() == 0


# --- containers only ---------------------------------------------------------------------------------


@pytest.fixture
def docker(case: Case) -> Case:
    if not case.in_container:
        pytest.skip("of containers only")
    return case


async def test_a_container_is_reached_on_loopback_by_a_port_that_the_engine_chose(docker: Case) -> None:
    process = await docker.start(SERVE, "8000", "0.0.0.0")
    await until(lambda: docker.executor.listening(docker.directory) is not None, 60)
    at = docker.executor.listening(docker.directory)
    assert at is not None
    assert at.host == "127.0.0.1"

    async def answers() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"http://{at.host}:{at.port}/")).status_code == 200
            except httpx.HTTPError:
                return False

    async with asyncio.timeout(30):
        while not await answers():
            await asyncio.sleep(0.05)
    assert docker.executor.alive(process)


async def test_a_container_outlives_the_process_that_stands_for_it_and_is_taken_up(docker: Case) -> None:
    process = await docker.start(POLITE)
    await docker.says("up")
    os.kill(process.shim_pid, signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: not docker.executor.alive(process))
    another = docker.again()

    found = another.find(docker.directory)

    assert found is not None
    assert found.shim_pid != process.shim_pid
    assert docker.left() == 1
    assert await another.stop(found, grace_s=20) is False
    assert another.status(docker.directory) == 3


async def test_a_container_has_no_privileges_labels_a_limit_and_read_only_mounts(
    docker: Case, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    launch = docker.launch(("python3", "-c", POLITE), {}, memory_bytes=256 * 2**20)
    assert launch.container is not None
    container = Container(
        IMAGE,
        port=8000,
        version="1",
        mounts=(str(tmp_path / "model"),),
        memory_bytes=256 * 2**20,
        labels={"instance": "17", "generation": "2"},
    )
    await docker.executor.start(Launch(launch.directory, launch.command, {}, {}, None, container))
    await docker.says("up")

    [ident] = Engine(SOCKET).labelled({"modelyard.instance": "17", "modelyard.generation": "2"})
    made = Engine(SOCKET).inspect(ident)

    host = made["HostConfig"]
    assert host["Privileged"] is False
    assert host["NetworkMode"] != "host"
    assert host["Memory"] == 256 * 2**20
    assert [mount["RW"] for mount in made["Mounts"]] == [False]
    assert docker.executor.ours([1, *Engine(SOCKET).pids(ident)]) == frozenset(Engine(SOCKET).pids(ident))


async def test_a_container_over_its_limit_says_that_memory_was_the_cause(docker: Case) -> None:
    hungry = "x = []\nwhile True: x.append(bytearray(2**20))"
    launch = docker.launch(("python3", "-c", hungry), {}, memory_bytes=32 * 2**20)

    process = await docker.executor.start(launch)
    await until(lambda: not docker.executor.alive(process), 60)

    assert any("out of memory" in line for line in docker.executor.last_lines(docker.directory))


async def test_an_image_that_cannot_be_had_is_named(docker: Case) -> None:
    container = Container("no-such-registry.invalid/model:1", port=8000, version="1")

    process = await docker.executor.start(Launch(docker.directory, ("x",), {}, {}, None, container))
    await until(lambda: not docker.executor.alive(process), 60)

    assert "no-such-registry.invalid/model:1" in " ".join(docker.executor.last_lines(docker.directory))
