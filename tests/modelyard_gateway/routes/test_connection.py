"""Raw sockets: what breaks HTTP, what stalls, and what is allowed and seldom seen."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest
from modelyard_gateway_facts import route, running
from modelyard_gateway_world import (
    API_KEY,
    TEST_SETTINGS,
    ModelServer,
    Seen,
    World,
    gateway_world,
    one_model,
    read_body,
)
from starlette.types import Receive, Send
from waiting import until

AUTH = f"Authorization: Bearer {API_KEY.text()}\r\n".encode()
BODY = b'{"model":"tiny"}'
CHAT = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\n" + AUTH
PROXY = b"POST /model/proxy/42/x HTTP/1.1\r\nHost: a\r\n" + AUTH
CLOSE = b"Connection: close\r\n"


class Raw:
    """A connection that says what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def all(self) -> bytes:
        """Everything until the gateway closes."""
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                return await self.reader.read()
        return b""

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(end)


@contextlib.asynccontextmanager
async def raw(world: World) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


# --- smuggling


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 16\r\nContent-Length: 17\r\n\r\n" + BODY,
        b"Content-Length: 16, 16\r\n\r\n" + BODY,
        b"Content-Length: +16\r\n\r\n" + BODY,
        b"Content-Length : 16\r\n\r\n" + BODY,
        b"Content-Length: 16\nX: y\r\n\r\n" + BODY,
        b"Content-Length: 16\rX: y\r\n\r\n" + BODY,
        b"X: a\r\n b\r\nContent-Length: 16\r\n\r\n" + BODY,
        b"X: a\x00b\r\nContent-Length: 16\r\n\r\n" + BODY,
        b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: x\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n10;a=b\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n10\n" + BODY + b"\n0\n\n" + b" " * 2000,
        b"Transfer-Encoding: chunked\r\n\r\n0x10\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n10\r\n" + BODY + b"XX0\r\n\r\n",
    ],
)
async def test_what_two_servers_could_read_differently_is_answered_400_and_never_forwarded(
    world: World, tiny: ModelServer, lines: bytes
) -> None:
    async with raw(world) as client:
        client.send(CHAT + lines)
        answer = await client.all()
    assert statuses(answer) == [400]
    assert b"invalid_http" in answer
    assert b"connection: close" in answer.lower()
    assert b"x-request-id: " in answer.lower()
    assert tiny.seen == []


async def test_bytes_behind_a_body_are_another_request_and_never_part_of_it(
    world: World, tiny: ModelServer
) -> None:
    async with raw(world) as client:
        client.send(CHAT + b"Content-Length: 16\r\n\r\n" + BODY + b"GARBAGE\r\n\r\n")
        answer = await client.all()
    assert statuses(answer) == [200, 400]
    assert [seen.body for seen in tiny.seen] == [BODY]


@pytest.mark.parametrize("end", [b"0\r\nX: y\nZ: a\r\n\r\n", b"zz\r\n", b"3;x\r\nabc\r\n0\r\n\r\n"])
async def test_a_body_that_goes_wrong_amid_its_way_ends_the_request(
    world: World, tiny: ModelServer, end: bytes
) -> None:
    async def listen(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            seen.chunks.append(message["body"])
            assert message["more_body"]
        server.hung_up.set()

    tiny.behave = listen
    async with raw(world) as client:
        client.send(PROXY + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await until(lambda: bool(tiny.seen and tiny.seen[0].body))
        client.send(end)
        assert statuses(await client.all()) == [400]
    async with asyncio.timeout(5):
        await tiny.hung_up.wait()


async def test_pipelined_requests_are_answered_in_their_order(world: World, tiny: ModelServer) -> None:
    one = CHAT + b"X-Request-Id: one\r\nContent-Length: 16\r\n\r\n" + BODY
    two = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: two\r\n\r\n"
    three = (
        CHAT
        + CLOSE
        + b"X-Request-Id: three\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n"
        + BODY
        + b"\r\n0\r\n\r\n"
    )
    async with raw(world) as client:
        client.send(one + two + three)
        answer = await client.all()
    assert statuses(answer) == [200, 200, 200]
    assert re.findall(rb"X-Request-Id: (\w+)", answer) == [b"one", b"two", b"three"]
    assert len(tiny.seen) == 2


async def test_many_pipelined_requests_do_not_pile_up(world: World, tiny: ModelServer) -> None:
    count = 3000
    async with raw(world) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert statuses(await client.all()) == [200] * (count + 1)


# --- limits


async def test_headers_beyond_the_limit_are_431(world: World) -> None:
    async with raw(world) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000)
        answer = await client.all()
    assert statuses(answer) == [431]
    assert b"headers_too_large" in answer


@pytest.fixture
async def hasty() -> AsyncIterator[World]:
    """A gateway that waits for nobody."""
    quick = {"head_timeout_s": 0.3, "client_idle_timeout_s": 0.3, "keepalive_s": 0.3}
    async with gateway_world(settings=TEST_SETTINGS.model_copy(update=quick)) as found:
        yield found


async def test_slow_headers_and_bodies_are_408_and_idle_connections_closed(hasty: World) -> None:
    async with one_model(hasty) as tiny:
        async with raw(hasty) as client:
            client.send(b"GET /healthz HTTP/1.1\r\nHo")
            answer = await client.all()
        assert statuses(answer) == [408]
        assert b"request_timeout" in answer
        async with raw(hasty) as client:
            client.send(CHAT + b'Content-Length: 16\r\n\r\n{"mod')
            assert statuses(await client.all()) == [408]
        assert tiny.seen == []
        async with raw(hasty) as client:
            client.send(PROXY + b"Content-Length: 16\r\n\r\nabc")
            assert statuses(await client.all()) == [408]
        async with raw(hasty) as client:
            assert await client.all() == b""
        async with raw(hasty) as client:
            client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert statuses(await client.all()) == [200]


async def test_headers_that_trickle_get_no_more_time(hasty: World) -> None:
    async with raw(hasty) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nX: ")
        answer = asyncio.create_task(client.all())
        while not answer.done():
            client.send(b"x")
            await asyncio.sleep(0.02)
        assert statuses(await answer) in ([408], [])


# --- early ends


async def test_a_client_that_leaves_amid_its_headers_or_body_leaves_nothing(
    world: World, tiny: ModelServer
) -> None:
    for said in (
        b"",
        b"GET /",
        CHAT,
        CHAT + b"Content-Length: 16\r\n\r\n",
        CHAT + b'Content-Length: 16\r\n\r\n{"m',
    ):
        async with raw(world) as client:
            client.send(said)
            await client.writer.drain()
    await until(lambda: len(world.gateway.front.connections) == 0)
    assert tiny.seen == []
    assert world.gateway.balancer.in_flight() == 0


async def test_an_answer_before_the_whole_request_is_passed_on_and_the_connection_closed(
    world: World, tiny: ModelServer
) -> None:
    async def refuse(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    tiny.behave = refuse
    async with raw(world) as client:
        client.send(PROXY + b"Content-Length: 1000000\r\n\r\nabc")
        answer = await client.all()
    assert statuses(answer) == [413]
    assert answer.endswith(b"\r\n\r\nno")
    assert world.gateway.balancer.in_flight() == 0


async def test_a_refused_client_can_still_read_why_while_it_sends(world: World) -> None:
    async with raw(world) as client:
        client.send(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
        client.send(b"x" * 5_000_000)
        answer = await client.all()
    assert statuses(answer) == [401]


# --- allowed and seldom seen


async def test_whoever_expects_100_gets_it_once_admitted(world: World, tiny: ModelServer) -> None:
    async with raw(world) as client:
        client.send(CHAT + CLOSE + b"Expect: 100-continue\r\nContent-Length: 16\r\n\r\n")
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(BODY)
        assert statuses(await client.all()) == [200]
    assert tiny.seen[0].header("expect") == []
    async with raw(world) as client:
        client.send(CHAT.replace(AUTH, b"") + b"Expect: 100-continue\r\nContent-Length: 16\r\n\r\n")
        assert statuses(await client.all()) == [401]


async def test_http_1_0_gets_an_answer_that_ends_with_the_connection(world: World, tiny: ModelServer) -> None:
    async def stream(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    tiny.behave = stream
    async with raw(world) as client:
        client.send(b"POST /v1/completions HTTP/1.0\r\n" + AUTH + b"Content-Length: 16\r\n\r\n" + BODY)
        answer = await client.all()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"onetwo"
    assert b"transfer-encoding" not in head.lower()


@contextlib.asynccontextmanager
async def answering(world: World, answer: bytes, *, until: bytes) -> AsyncIterator[list[bytes]]:
    """The model's instance is a server that reads up to `until` and says `answer`; gives what it read."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(until))
        writer.write(answer)
        await writer.drain()
        writer.close()

    got: list[bytes] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await world.happen(route(42, "tiny", generic_proxy=True), running(10, port=port))
        yield got


async def test_trailers_are_dropped_in_both_directions(world: World) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
    answer = head + b"2;x=y\r\nok\r\n0\r\nX-T: 1\r\n\r\n"
    async with answering(world, answer, until=b"abc") as got, raw(world) as client:
        client.send(PROXY + b"Transfer-Encoding: chunked\r\n\r\n3\r\n")
        client.send(b"abc\r\n0\r\nX-Mine: 1\r\n\r\n")
        answered = await client.until(b"0\r\n\r\n")
    assert b"X-Mine" not in got[0]
    assert answered.partition(b"\r\n\r\n")[2] == b"2\r\nok\r\n0\r\n\r\n"
    assert b"Trailer" not in answered


async def test_an_informational_answer_is_not_the_answer(world: World) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    answer = hints + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with answering(world, answer, until=b"\r\n\r\n"):
        assert (await world.chat()).text == "ok"


async def test_an_answer_that_breaks_http_is_502(world: World) -> None:
    for answer in (
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        async with answering(world, answer, until=b"\r\n\r\n"):
            assert (await world.chat()).status_code == 502


HANDSHAKE = (
    b"Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"
    b"Sec-WebSocket-Version: 13\r\n" + AUTH + b"\r\n"
)


@contextlib.asynccontextmanager
async def echoing(world: World) -> AsyncIterator[list[bytes]]:
    """The instance of the model takes a handshake and gives every byte back, to the end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: y\r\n\r\nhello")
        while data := await reader.read(1000):
            writer.write(data)
        writer.write(b"bye")
        await writer.drain()
        writer.close()

    heads: list[bytes] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await world.happen(route(42, "tiny", generic_proxy=True), running(10, port=port))
        yield heads


@pytest.mark.parametrize("path", [b"/model/proxy/42/ws?a=b", b"/v1/realtime?model=tiny"])
async def test_a_websocket_goes_both_ways_until_both_sides_are_done(world: World, path: bytes) -> None:
    async with echoing(world) as heads, raw(world) as client:
        client.send(b"GET " + path + b" HTTP/1.1\r\n" + HANDSHAKE + b"early")
        head = await client.until(b"\r\n\r\n")
        assert statuses(head) == [101]
        assert b"Upgrade: websocket\r\n" in head
        assert b"Sec-WebSocket-Accept: y\r\n" in head
        assert await client.until(b"early") == b"helloearly"
        client.send(b"\x00" * 50_000 + b"end")
        assert (await client.until(b"end")).count(0) == 50_000
        client.writer.write_eof()
        assert await client.all() == b"bye"
    assert b"Upgrade: websocket\r\n" in heads[0]
    assert b"Sec-WebSocket-Key: x\r\n" in heads[0]
    assert b"Authorization" not in heads[0]
    assert heads[0].startswith(b"GET /ws?a=b " if b"proxy" in path else b"GET /v1/realtime?model=tiny ")
    await until(lambda: world.gateway.balancer.in_flight() == 0)


async def test_realtime_without_a_handshake_a_model_or_a_key_is_refused(world: World) -> None:
    async with raw(world) as client:
        client.send(b"GET /v1/realtime?model=tiny HTTP/1.1\r\nHost: a\r\n" + AUTH + CLOSE + b"\r\n")
        assert statuses(await client.all()) == [426]
    for path, status in ((b"/v1/realtime", 400), (b"/v1/realtime?model=none", 404)):
        async with raw(world) as client:
            client.send(b"GET " + path + b" HTTP/1.1\r\n" + HANDSHAKE)
            assert statuses(await client.until(b"}")) == [status]
    async with raw(world) as client:
        client.send(b"GET /v1/realtime?model=tiny HTTP/1.1\r\n" + HANDSHAKE.replace(AUTH, b""))
        assert statuses(await client.until(b"}")) == [401]


async def test_a_client_that_does_not_read_stops_the_instance_from_sending(
    world: World, tiny: ModelServer
) -> None:
    """Back-pressure: what nobody reads is not read from the instance, and nothing is lost."""
    chunk = b"x" * 100_000
    sent = 0

    async def flood(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        nonlocal sent
        await read_body(seen, receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(400):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent += 1
        await send({"type": "http.response.body", "body": b""})

    tiny.behave = flood
    async with world.client.stream("POST", "/v1/completions", json={"model": "tiny"}) as response:
        chunks = response.aiter_raw()
        total = len(await anext(chunks))
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 400
        async for piece in chunks:
            total += len(piece)
    assert total == 400 * len(chunk)
    assert sent == 400


async def test_an_instance_that_does_not_read_stops_the_client_from_sending(
    world: World, tiny: ModelServer
) -> None:
    async def later(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await server.go_on.wait()
        await read_body(seen, receive)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    sent = 0

    async def upload() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(400):
            sent += 1
            yield b"x" * 100_000

    tiny.behave = later
    asked = asyncio.create_task(world.client.post("/model/proxy/42/x", content=upload()))
    await until(lambda: bool(tiny.seen))
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 400
    tiny.go_on.set()
    assert (await asked).status_code == 200
    assert len(tiny.seen[0].body) == 400 * 100_000
