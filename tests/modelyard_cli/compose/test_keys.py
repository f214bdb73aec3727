import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
from modelyard_cli.compose.joining import join_command
from modelyard_cli.compose.keys import write_keys
from modelyard_cli.compose.secrets import new_secrets
from modelyard_cli.embedded.nats import binary
from modelyard_cli.embedded.requirements import free_port
from modelyard_cli.errors import UsageError
from modelyard_eventlog.connection import connect
from modelyard_eventlog.reactions import Reactions
from modelyard_runtime.clock import now
from modelyard_runtime.settings import NatsSettings
from waiting import until_async

SECRETS = new_secrets(now())


@dataclass(frozen=True, slots=True)
class Running:
    directory: Path
    port: int

    def settings(self, ca: str | None) -> NatsSettings:
        creds = self.directory / "api" / "nats.creds"
        return NatsSettings(nats=f"tls://127.0.0.1:{self.port}", nats_credentials=creds, ca=ca)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A real nats-server on what was written, with paths and ports of this machine."""
    write_keys(tmp_path, "10.0.0.7", SECRETS, now())
    port = free_port()
    config = tmp_path / "nats" / "nats-server.conf"
    text = config.read_text().replace("/keys/", f"{tmp_path}/nats/").replace('"/data"', f'"{tmp_path}/data"')
    config.write_text(
        text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("127.0.0.1:8222", "127.0.0.1:-1")
    )
    with subprocess.Popen([binary(), "-c", str(config)]) as server:
        yield Running(tmp_path, port)
        server.terminate()


async def test_a_service_connects_over_tls_with_its_credentials(running: Running) -> None:
    connection = await asyncio.wait_for(
        connect(running.settings(SECRETS["MODELYARD_CA"]), name="test"), timeout=20
    )
    assert connection.is_connected
    await connection.close()


async def test_without_trusting_the_authority_nobody_connects(running: Running) -> None:
    creds = str(running.directory / "api" / "nats.creds")

    async def refused() -> bool:
        try:
            await nats.connect(
                running.settings(None).nats, user_credentials=creds, allow_reconnect=False, connect_timeout=5
            )
        except OSError as error:
            return "CERTIFICATE_VERIFY_FAILED" in str(error)
        raise AssertionError("it connected")

    await until_async(refused)


async def test_what_services_react_with_connects_over_tls_too(running: Running) -> None:
    reactions = Reactions(running.settings(SECRETS["MODELYARD_CA"]), name="test")
    async with reactions.broker as broker:
        assert await broker.ping(timeout=10)


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    for path in write_keys(tmp_path, "localhost", SECRETS, now()):
        assert (tmp_path / path).stat().st_mode & 0o077 == 0, path


def test_a_missing_secret_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"MODELYARD_CA_KEY is not in \.env") as refused:
        write_keys(tmp_path, "localhost", {**SECRETS, "MODELYARD_CA_KEY": ""}, now())
    assert "compose secrets >> .env" in str(refused.value.hint)


def test_the_join_command_names_the_api_and_carries_token_and_authority() -> None:
    environment = {**SECRETS, "PUBLIC_HOST": "yard.lan", "API_PORT": "7700", "WORKER_IMAGE": "w:1"}
    command = join_command("10.0.0.8", environment)
    assert "MODELYARD_API=https://yard.lan:7700" in command
    assert SECRETS["MODELYARD_JOIN_TOKEN"] in command
    assert SECRETS["MODELYARD_CA"] in command
    assert command.endswith("w:1 worker")
    assert "docker.sock" not in command
    assert "--gpus" not in command


def test_a_machine_with_gpus_joins_with_them_and_runs_containers_without_privileges() -> None:
    environment = {**SECRETS, "PUBLIC_HOST": "yard.lan", "API_PORT": "7700", "WORKER_IMAGE": "w:1"}
    command = join_command("10.0.0.8", environment, gpus=True)
    assert "--gpus all,capabilities=utility" in command
    assert "-e MODELYARD_EXECUTOR=docker -e MODELYARD_DOCKER_NETWORK=modelyard-models" in command
    assert "--cap-drop ALL" in command
    assert "--privileged" not in command
    assert command.endswith("w:1 worker")
