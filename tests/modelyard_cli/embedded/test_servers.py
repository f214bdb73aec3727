"""The embedded nats-server and Postgres alone: started, killed, started again on the same directory."""

import asyncio
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
import waiting
from conftest import free_port
from modelyard_cli.embedded import nats, postgres
from modelyard_cli.embedded.health import nats_answers, postgres_answers, until
from modelyard_cli.embedded.leftovers import end_stray_postgres
from modelyard_cli.embedded.processes import Child, Program
from modelyard_cli.embedded.secrets import secrets_of
from modelyard_cli.embedded.state import StateDir
from modelyard_eventlog.connection import connect
from modelyard_eventlog.provision import provision
from modelyard_runtime.settings import NatsSettings


@pytest.fixture
def root() -> Iterator[Path]:
    """Not pytest's directory: as root, Postgres runs as another user, who must pass through."""
    with tempfile.TemporaryDirectory(prefix="modelyard-cli-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o711)
        yield Path(made)


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[Child]:
    told: list[str] = []
    child = Child(program, told.append, lambda: None)
    await child.start()
    try:
        yield child
    finally:
        await child.stop()


async def test_postgres_keeps_what_was_committed_through_a_kill(root: Path) -> None:
    # so long a path that the socket has to be elsewhere
    state = StateDir(root / ("long" * 25))
    state.make()
    url = postgres.url(state)
    async with asyncio.timeout(60):
        async with running(postgres.prepare(state)) as child:
            await until(postgres_answers(url))
            connection = await asyncpg.connect(url)
            await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
            assert child.process is not None
            child.process.send_signal(signal.SIGKILL)
            connection.terminate()
            await until(postgres_answers(url))
            connection = await asyncpg.connect(url)
            assert await connection.fetchval("SELECT n FROM kept") == 7
            await connection.close()
        end_stray_postgres(state.postgres / "data")
        async with running(postgres.prepare(state)):
            await until(postgres_answers(url))
        assert not await postgres_answers(url)()


async def test_a_stuck_backend_of_a_killed_postgres_does_not_keep_the_next_from_starting(root: Path) -> None:
    state = StateDir(root / "state")
    state.make()
    url = postgres.url(state)
    async with asyncio.timeout(60):
        program = postgres.prepare(state)
        with (state.logs / "first.log").open("ab") as log:
            first = subprocess.Popen(
                program.argv,
                stdout=log,
                stderr=log,
                env=program.env,
                cwd=program.cwd,
                user=program.user,
                group=program.user,
                extra_groups=[] if program.user else None,
            )
        await until(postgres_answers(url))
        connection = await asyncpg.connect(url)
        backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
        backend.suspend()
        first.kill()
        first.wait()
        connection.terminate()

        end_stray_postgres(state.postgres / "data")
        assert not backend.is_running()
        async with running(postgres.prepare(state)) as child:
            await until(postgres_answers(url))
            assert child.ends == 0


async def test_nats_admits_the_credentials_of_its_state_only(root: Path) -> None:
    state = StateDir(root / "state")
    state.make()
    port = free_port()
    secrets = secrets_of(state)
    credentials = nats.write_credentials(state, secrets, "api")
    assert credentials.stat().st_mode & 0o777 == 0o600
    async with asyncio.timeout(60):
        async with running(nats.program(state, secrets, host="127.0.0.1", port=port)) as child:
            await until(nats_answers("127.0.0.1", port))
            settings = NatsSettings(nats=f"nats://127.0.0.1:{port}", nats_credentials=credentials)
            client = await connect(settings, name="test")
            await provision(client)
            assert child.process is not None
            child.process.send_signal(signal.SIGKILL)
            await waiting.until(lambda: not client.is_connected)
            await waiting.until(lambda: client.is_connected)
            info = await client.jetstream().stream_info("EVT")
            assert info.config.name == "EVT"
            await client.close()
