"""Model servers behind the agent's relay: who comes in, what goes through, and what outlives what."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from conftest import NatsServer
from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.messages import Want
from modelyard_runtime.secrets import Sealer
from modelyard_worker_agent_world import Machine, machine_at, spec_of, want
from waiting import until

HERE = "127.0.0.2"
ECHO = """
import asyncio, json, sys

async def serve(reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
    if "Upgrade: websocket" in head:
        writer.write(b"HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n")
        while data := await reader.read(65536):
            writer.write(data.upper())
        writer.close()
        return
    if head.startswith("GET /stream"):
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n")
        for line in iter(lambda: reader.readline(), None):
            writer.write(b"data: " + await line)
            await writer.drain()
    body = json.dumps(head).encode()
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    await serve(reader, writer)

async def main():
    server = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]))
    await server.serve_forever()

asyncio.run(main())
"""


RELAYED = {
    "MODELYARD_WORKER_ADDRESS": HERE,
    "MODELYARD_RELAY_PORT": "0",
    "MODELYARD_JOIN_TOKEN": "join-secret",
}


def echo_in(directory: Path) -> InferenceBackend:
    """Answers with the head of the request, echoes lines as events, and shouts back over WebSocket."""
    (directory / "config.json").write_text("{}")
    program = directory / "echo.py"
    program.write_text(ECHO)
    return InferenceBackend(
        backend_name="echo-custom",
        default_run_command=f"{sys.executable} {program} {{{{host}}}} {{{{port}}}}",
    )


@pytest.fixture(scope="module")
async def running_agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    """For the tests that leave it as it is; each has an instance of its own."""
    directory = tmp_path_factory.mktemp("relay")
    server = NatsServer(directory)
    server.start()
    await server.wait_until_ready()
    client = await nats.connect(server.url, pending_size=0)
    async with machine_at(directory, server.url, client) as made:
        made.start_agent(**RELAYED)
        yield made
    await client.close()
    server.kill()


def wanted(machine: Machine, instance: int = 17, **more: Any) -> Want:
    directory = machine.state.parent
    spec = spec_of(directory).model_copy(update={"backend_parameters": ()})
    found = want(spec, instance=instance, **more)
    return found.model_copy(update={"backend": echo_in(directory)})


async def served(machine: Machine, instance: int = 17) -> dict[str, Any]:
    await machine.wish(wanted(machine, instance))
    return await machine.observe("InstanceRunning", instance=instance, seconds=60)


def token_of(machine: Machine, running: dict[str, Any]) -> str:
    return Sealer(machine.sealer_key).unseal(running["relay_token"])


async def asked(running: dict[str, Any], token: str | None, path: str = "/") -> httpx.Response:
    headers = {} if token is None else {"X-Modelyard-Relay": token}
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        return await client.get(f"http://{running['host']}:{running['port']}{path}", headers=headers)


async def test_only_who_knows_its_token_reaches_a_model_server(running_agent: Machine) -> None:
    running = await served(running_agent, 17)
    token = token_of(running_agent, running)

    assert running["host"] == HERE
    head = (await asked(running, token)).json()
    assert head.startswith("GET / HTTP/1.1")
    assert token not in head, "the model server has no use for it"
    assert (await asked(running, None)).status_code == 401
    assert (await asked(running, "wrong")).status_code == 403
    assert (await asked(running, "join-secret")).status_code == 403
    assert (await asked(running, "../../joined")).status_code == 403
    report = json.loads((running_agent.state / "instances/17/0/report.json").read_text())
    with pytest.raises(ConnectionRefusedError), socket.socket() as elsewhere:
        elsewhere.connect((HERE, int(report["address"].rpartition(":")[2])))
    assert token not in json.dumps([seen.model_dump(mode="json") for seen in running_agent.observations])
    assert token not in running_agent.log_of_agent()


async def test_every_start_has_a_token_of_its_own_which_ends_with_it(running_agent: Machine) -> None:
    running = await served(running_agent, 18)
    os.kill(running["pid"], signal.SIGKILL)
    await running_agent.observe("InstanceFailed", instance=18)
    assert (await asked(running, token_of(running_agent, running))).status_code == 403

    await running_agent.wish(wanted(running_agent, 18, attempt=1))
    again = await running_agent.observe("InstanceRunning", instance=18, attempt=1, seconds=60)
    own = token_of(running_agent, again)

    assert again["port"] == running["port"]
    assert own != token_of(running_agent, running)
    assert (await asked(again, own)).status_code == 200
    assert (await asked(again, token_of(running_agent, running))).status_code == 403

    await running_agent.wish(wanted(running_agent, 18, state="absent"))
    await running_agent.observe("InstanceStopped", instance=18)
    assert (await asked(again, own)).status_code == 403


async def test_events_and_frames_go_through_as_they_come(running_agent: Machine) -> None:
    running = await served(running_agent, 19)
    first = f"X-Modelyard-Relay: {token_of(running_agent, running)}\r\n"
    reader, writer = await asyncio.open_connection(running["host"], running["port"])

    writer.write(f"GET /stream HTTP/1.1\r\n{first}\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    for word in (b"one\n", b"two\n"):
        writer.write(word)
        assert await reader.readline() == b"data: " + word
    writer.close()

    reader, writer = await asyncio.open_connection(running["host"], running["port"])
    writer.write(f"GET / HTTP/1.1\r\n{first}\r\nGET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".encode())
    answer = await reader.readuntil(b"Switching Protocols\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    writer.write(b"hello" * 100_000)
    writer.write_eof()
    assert await reader.read() == b"HELLO" * 100_000
    writer.close()


async def test_what_goes_through_is_finished_before_the_server_ends(running_agent: Machine) -> None:
    running = await served(running_agent, 20)
    reader, writer = await asyncio.open_connection(running["host"], running["port"])
    first = f"X-Modelyard-Relay: {token_of(running_agent, running)}\r\n"
    writer.write(f"GET /stream HTTP/1.1\r\n{first}\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")

    await running_agent.wish(wanted(running_agent, 20, state="absent"))
    heard = running_agent.state / "instances/20/want.json"
    await until(lambda: '"absent"' in heard.read_text())
    writer.write(b"last words\n")
    assert await reader.readline() == b"data: last words\n"
    assert not running_agent.seen("InstanceStopped", instance=20)
    writer.close()

    stopped = await running_agent.observe("InstanceStopped", instance=20)
    assert not stopped["forced"]


async def test_requests_go_on_while_agents_are_killed_and_the_workers_address_changes(
    machine: Machine,
) -> None:
    machine.start_agent(**RELAYED)
    running = await served(machine)
    token = token_of(machine, running)
    reader, writer = await asyncio.open_connection(running["host"], running["port"])
    writer.write(f"GET /stream HTTP/1.1\r\nX-Modelyard-Relay: {token}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")

    machine.end_agent(signal.SIGKILL)
    assert (await asked(running, token)).status_code == 200
    machine.start_agent(**{**RELAYED, "MODELYARD_WORKER_ADDRESS": "127.0.0.3"})
    await until(lambda: len(machine.seen("InstanceRunning")) == 2, 60)

    moved = machine.seen("InstanceRunning")[-1]
    assert (moved["host"], moved["pid"]) == ("127.0.0.3", running["pid"])
    assert (await asked(moved, token_of(machine, moved))).status_code == 200
    assert machine.story() == ["InstanceStarting", "InstanceRunning", "InstanceRunning"]
    writer.write(b"still\n")
    assert await reader.readline() == b"data: still\n"
    writer.close()

    record = json.loads((machine.state / "relay/relay.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    await until(lambda: json.loads((machine.state / "relay/relay.json").read_text())["pid"] != record["pid"])
    assert (await asked(moved, token_of(machine, moved))).status_code == 200
