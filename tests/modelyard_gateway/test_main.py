"""The gateway as a process of its own, fed by a real NATS server."""

import asyncio
import os
import signal
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import nats
import pytest
from conftest import NatsServer
from modelyard_eventlog.wire import encode_event
from modelyard_gateway.adapters.snapshot_file import read_snapshot, write_snapshot
from modelyard_gateway.domain.snapshot import restore, snapshot_of
from modelyard_gateway.main import main
from modelyard_gateway_facts import cause, fold, route, running, stopping
from modelyard_gateway_process import REQUEST, GatewayProcess, gateway, happen
from modelyard_gateway_world import ModelServer, Seen, a_key, bound, model_servers, read_body
from modelyard_runtime import keys
from modelyard_runtime.listening import listen
from starlette.types import Receive, Send


async def test_it_learns_from_the_log_and_outlives_it(own_nats_server: NatsServer) -> None:
    """Started before the log holds a stream; the log's server is killed and comes back."""
    tiny = ModelServer("tiny")
    async with model_servers(tiny), gateway(own_nats_server.url) as process:
        await process.until_status(200, "/healthz")
        await process.until_status(503)
        assert await process.ask() == 503

        await happen(own_nats_server.url, a_key(), route(1, "tiny"), running(10, port=tiny.port))
        await process.until_status(200)
        await process.until_asked(200)

        own_nats_server.kill()
        for _ in range(10):
            assert await process.ask() == 200
        await process.until_status(200)

        own_nats_server.start()
        await own_nats_server.wait_until_ready()
        await happen(own_nats_server.url, stopping(10))
        await process.until_asked(503)


async def test_an_event_it_does_not_know_stops_the_table_and_never_the_requests(
    own_nats_server: NatsServer,
) -> None:
    tiny = ModelServer("tiny")
    async with model_servers(tiny), gateway(own_nats_server.url) as process:
        await happen(own_nats_server.url, a_key(), route(1, "tiny"), running(10, port=tiny.port))
        await process.until_status(200)
        await process.until_asked(200)
        headers, body = encode_event(stopping(10), cause("test-future"), 0)
        async with await nats.connect(own_nats_server.url) as client:
            await client.jetstream().publish(
                "evt.instance.10", body, headers=headers | {"ce-type": "FromAfar"}
            )
        async with asyncio.timeout(20):
            while (told := (await process.client.get("/readyz")).json())["halted"] is None:
                await asyncio.sleep(0.02)
        assert "FromAfar" in told["halted"]
        assert told["status"] == "ready"
        assert await process.ask() == 200


async def test_it_waits_for_a_nats_server_that_is_not_there(own_nats_server: NatsServer) -> None:
    own_nats_server.kill()
    async with gateway(own_nats_server.url) as process:
        await process.until_status(200, "/healthz")
        await process.until_status(503)
        own_nats_server.start()
        await own_nats_server.wait_until_ready()
        await happen(own_nats_server.url, a_key())
        await process.until_status(200)
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0


async def test_it_starts_from_its_snapshot_while_the_log_is_away(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    kept = tmp_path / "snapshot.json"
    flags = ("--snapshot", str(kept))
    tiny = ModelServer("tiny")
    async with model_servers(tiny):
        async with gateway(own_nats_server.url, *flags) as process:
            await happen(own_nats_server.url, a_key(), route(1, "tiny"), running(10, port=tiny.port))
            await process.until_status(200)
            await process.until_asked(200)
            async with asyncio.timeout(20):
                while not kept.exists() or b"tiny" not in kept.read_bytes():
                    await asyncio.sleep(0.02)
        assert kept.stat().st_mode & 0o777 == 0o600
        own_nats_server.kill()
        async with gateway(own_nats_server.url, *flags) as process:
            await process.until_status(503)
            await process.until_asked(200)
            assert (await process.client.get("/readyz")).json()["from_snapshot"] is True
            own_nats_server.start()
            await own_nats_server.wait_until_ready()
            await happen(own_nats_server.url, stopping(10))
            await process.until_asked(503)
            assert (await process.client.get("/readyz")).json()["from_snapshot"] is False


async def test_a_snapshot_of_another_log_or_shape_is_not_used(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    kept = tmp_path / "snapshot.json"
    table = fold(a_key(), route(1, "elsewhere"), running(10), running(11), running(12))
    write_snapshot(kept, snapshot_of(table, datetime(2020, 1, 1, tzinfo=UTC)))
    assert restore(read_snapshot(kept) or pytest.fail("unreadable")) == replace(table, changes=1)
    async with gateway(own_nats_server.url, "--snapshot", str(kept)) as process:
        await happen(own_nats_server.url, a_key(), route(2, "here"))
        await process.until_status(200)
        listed = (await process.client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["here"]
    kept.write_text('{"shape": 99}')
    assert read_snapshot(kept) is None


async def test_several_processes_share_the_port_and_one_that_dies_is_replaced(
    own_nats_server: NatsServer,
) -> None:
    tiny = ModelServer("tiny")
    async with model_servers(tiny), gateway(own_nats_server.url, "--workers", "2") as process:
        await happen(own_nats_server.url, a_key(), route(1, "tiny"), running(10, port=tiny.port))
        children = await two_children(process)
        first, second = children.read_text().split()
        await process.until_status(200)
        await process.until_asked(200)
        os.kill(int(first), signal.SIGKILL)
        async with asyncio.timeout(20):
            while len(now := children.read_text().split()) != 2 or first in now:
                await asyncio.sleep(0.02)
        assert second in now
        await process.until_status(200)
        process.process.send_signal(signal.SIGTERM)
        assert await process.end() == 0


async def two_children(process: GatewayProcess) -> Path:
    """Where their ids stand."""
    children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children")
    async with asyncio.timeout(20):
        while len(children.read_text().split()) < 2:
            await asyncio.sleep(0.02)
    return children


async def test_the_processes_end_with_the_one_that_started_them(own_nats_server: NatsServer) -> None:
    async with gateway(own_nats_server.url, "--workers", "2") as process:
        started = (await two_children(process)).read_text().split()
        process.process.kill()
        async with asyncio.timeout(20):
            while any(has_code(pid) for pid in started):
                await asyncio.sleep(0.02)


def has_code(pid: str) -> bool:
    """False once it has ended, be it that nobody has asked for its status yet."""
    try:
        return bool(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False


async def until_all_are_ready(process: GatewayProcess) -> None:
    """A fresh connection comes to any of them."""
    async with asyncio.timeout(20):
        ready = 0
        while ready < 16:
            await process.until_status(200)
            answer = await process.client.get("/readyz", headers={"Connection": "close"})
            ready = ready + 1 if answer.status_code == 200 else 0


async def test_whichever_process_is_asked_tells_of_a_request(own_nats_server: NatsServer) -> None:
    """Of the same gateway, of another one; and not to another user."""
    tiny, someone = ModelServer("tiny"), keys.generate()
    url = own_nats_server.url
    async with model_servers(tiny), gateway(url, "--workers", "2") as process, gateway(url) as other:
        facts = (a_key(), a_key(2, someone, user_id=2), route(1, "tiny"), running(10, port=tiny.port))
        await happen(url, *facts)
        await other.until_status(200)
        await until_all_are_ready(process)
        served = await process.client.post("/v1/completions", json=REQUEST, headers={"X-Request-Id": "mine"})
        assert served.status_code == 200
        for asked in (process, other):
            for _ in range(8):
                fresh = {"Connection": "close"}
                told = await asked.client.get("/v2/requests/mine", headers=fresh)
                assert (told.status_code, told.json()["instance_id"]) == (200, 10)
        bearer = {"Authorization": f"Bearer {someone.text()}"}
        assert (await other.client.get("/v2/requests/mine", headers=bearer)).status_code == 404
        own_nats_server.kill()
        async with asyncio.timeout(20):
            while (await other.client.get("/v2/requests/mine")).status_code != 503:
                await asyncio.sleep(0.02)


async def test_a_running_stream_may_finish_when_the_gateway_is_stopped(own_nats_server: NatsServer) -> None:
    async def stream(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await server.go_on.wait()
        await send({"type": "http.response.body", "body": b"two"})

    tiny = ModelServer("tiny", stream)
    async with model_servers(tiny), gateway(own_nats_server.url) as process:
        await happen(own_nats_server.url, a_key(), route(1, "tiny"), running(10, port=tiny.port))
        await process.until_status(200)
        async with process.client.stream("POST", "/v1/completions", json=REQUEST) as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"one"
            process.process.send_signal(signal.SIGTERM)
            await refuses_connections(process)
            assert process.process.returncode is None
            tiny.go_on.set()
            assert [chunk async for chunk in chunks] == [b"two"]
        assert await process.end() == 0


async def refuses_connections(process: GatewayProcess) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection(
                    process.client.base_url.host, process.client.base_url.port
                )
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.02)


async def test_a_stream_that_does_not_finish_is_cut_at_the_deadline(own_nats_server: NatsServer) -> None:
    async def stall(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        server.hung_up.set()

    tiny = ModelServer("tiny", stall)
    flags = ("--shutdown-grace-s", "1")
    async with model_servers(tiny), gateway(own_nats_server.url, *flags) as process:
        await happen(own_nats_server.url, a_key(), route(1, "tiny"), running(10, port=tiny.port))
        await process.until_status(200)
        async with process.client.stream("POST", "/v1/completions", json=REQUEST) as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"one"
            process.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(chunks)
        assert await process.end() == 0
        async with asyncio.timeout(5):
            await tiny.hung_up.wait()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--port", "x"], "--port"),
        (["--port", "70000"], "--port"),
        (["--connect-timeout-s", "0"], "--connect-timeout-s"),
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
    ],
)
def test_a_bad_setting_gives_one_clear_sentence(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1


def test_a_busy_port_gives_one_clear_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with bound() as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    text = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1 port {port}" in text
    assert text.count("\n") == 1


def test_small_answers_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
