"""Model servers behind the agent's relay: who comes in, what goes through, and what outlives what."""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.messages import Want
from modelyard_runtime.secrets import Sealer
from modelyard_worker_agent_world import Machine, is_gone, spec_of, want
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


@pytest.fixture
def echo(tmp_path: Path) -> InferenceBackend:
    """Answers with the head of the request, echoes lines as events, and shouts back over WebSocket."""
    (tmp_path / "config.json").write_text("{}")
    program = tmp_path / "echo.py"
    program.write_text(ECHO)
    return InferenceBackend(
        backend_name="echo-custom",
        default_run_command=f"{sys.executable} {program} {{{{host}}}} {{{{port}}}}",
    )


def wanted(machine: Machine, backend: InferenceBackend, **more: Any) -> Want:
    spec = spec_of(machine.state.parent).model_copy(update={"backend_parameters": ()})
    return want(spec, **more).model_copy(update={"backend": backend})


async def relayed(machine: Machine, backend: InferenceBackend, **env: str) -> dict[str, Any]:
    machine.start_agent(MODELYARD_WORKER_ADDRESS=HERE, MODELYARD_RELAY_PORT="0", **env)
    await machine.wish(wanted(machine, backend))
    return await machine.observe("InstanceRunning")


def token_of(machine: Machine, running: dict[str, Any]) -> str:
    return Sealer(machine.sealer_key).unseal(running["relay_token"])


async def asked(running: dict[str, Any], token: str | None, path: str = "/") -> httpx.Response:
    headers = {} if token is None else {"X-Modelyard-Relay": token}
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        return await client.get(f"http://{running['host']}:{running['port']}{path}", headers=headers)


def server_port(machine: Machine) -> int:
    report = json.loads((machine.state / "instances/17/0/report.json").read_text())
    return int(report["address"].rpartition(":")[2])


async def test_only_who_knows_its_token_reaches_a_model_server(
    machine: Machine, echo: InferenceBackend
) -> None:
    running = await relayed(machine, echo, MODELYARD_JOIN_TOKEN="join-secret")
    token = token_of(machine, running)

    assert running["host"] == HERE
    head = (await asked(running, token)).json()
    assert head.startswith("GET / HTTP/1.1")
    assert token not in head, "the model server has no use for it"
    assert (await asked(running, None)).status_code == 401
    assert (await asked(running, "wrong")).status_code == 403
    assert (await asked(running, "join-secret")).status_code == 403
    assert (await asked(running, "../../joined")).status_code == 403
    with pytest.raises(ConnectionRefusedError), socket.socket() as elsewhere:
        elsewhere.connect((HERE, server_port(machine)))
    assert token not in json.dumps([seen.model_dump(mode="json") for seen in machine.observations])
    assert token not in machine.log_of_agent()


async def test_every_start_has_a_token_of_its_own(machine: Machine, echo: InferenceBackend) -> None:
    running = await relayed(machine, echo)
    os.kill(running["pid"], signal.SIGKILL)
    await machine.observe("InstanceFailed")
    assert (await asked(running, token_of(machine, running))).status_code == 403

    await machine.wish(wanted(machine, echo, attempt=1))
    again = await machine.observe("InstanceRunning", attempt=1)

    assert again["port"] == running["port"]
    assert token_of(machine, again) != token_of(machine, running)
    assert (await asked(again, token_of(machine, again))).status_code == 200
    assert (await asked(again, token_of(machine, running))).status_code == 403


async def test_events_and_frames_go_through_as_they_come(machine: Machine, echo: InferenceBackend) -> None:
    running = await relayed(machine, echo)
    first = f"X-Modelyard-Relay: {token_of(machine, running)}\r\n"
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


async def test_requests_go_on_while_the_agent_is_killed_and_comes_back(
    machine: Machine, echo: InferenceBackend
) -> None:
    running = await relayed(machine, echo)
    token = token_of(machine, running)
    reader, writer = await asyncio.open_connection(running["host"], running["port"])
    writer.write(f"GET /stream HTTP/1.1\r\nX-Modelyard-Relay: {token}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")

    machine.end_agent(signal.SIGKILL)
    assert (await asked(running, token)).status_code == 200
    machine.start_agent(MODELYARD_WORKER_ADDRESS=HERE, MODELYARD_RELAY_PORT="0")
    await until(lambda: "adopted a model server" in machine.log_of_agent())

    writer.write(b"still\n")
    assert await reader.readline() == b"data: still\n"
    assert (await asked(running, token)).status_code == 200
    assert len(machine.seen("InstanceRunning")) == 1
    writer.close()


async def test_another_address_of_the_worker_restarts_nothing(
    machine: Machine, echo: InferenceBackend
) -> None:
    running = await relayed(machine, echo)
    reader, writer = await asyncio.open_connection(running["host"], running["port"])
    first = f"X-Modelyard-Relay: {token_of(machine, running)}\r\n"
    writer.write(f"GET /stream HTTP/1.1\r\n{first}\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")

    machine.end_agent()
    machine.start_agent(MODELYARD_WORKER_ADDRESS="127.0.0.3", MODELYARD_RELAY_PORT="0")
    await until(lambda: len(machine.seen("InstanceRunning")) == 2)

    moved = machine.seen("InstanceRunning")[-1]
    assert (moved["host"], moved["pid"]) == ("127.0.0.3", running["pid"])
    assert (await asked(moved, token_of(machine, moved))).status_code == 200
    assert machine.story()[-2:] == ["InstanceRunning", "InstanceRunning"]
    writer.write(b"still\n")
    assert await reader.readline() == b"data: still\n"
    writer.close()


async def test_a_relay_that_is_killed_comes_back_at_its_port(
    machine: Machine, echo: InferenceBackend
) -> None:
    running = await relayed(machine, echo)
    record = json.loads((machine.state / "relay/relay.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)

    await until(lambda: is_gone(record["pid"]))
    await until(lambda: json.loads((machine.state / "relay/relay.json").read_text())["pid"] != record["pid"])

    assert (await asked(running, token_of(machine, running))).status_code == 200


async def test_after_a_stop_its_token_opens_nothing(machine: Machine, echo: InferenceBackend) -> None:
    running = await relayed(machine, echo)
    await machine.wish(wanted(machine, echo, state="absent"))
    await machine.observe("InstanceStopped")

    assert (await asked(running, token_of(machine, running))).status_code == 403
    assert not list((machine.state / "relay").glob("*.way"))
