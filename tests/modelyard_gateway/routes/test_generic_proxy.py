"""`/model/proxy/...`: both forms, any method, both ways streamed."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from modelyard_gateway_facts import route, route_changed, running
from modelyard_gateway_world import (
    ModelServer,
    Seen,
    World,
    a_key,
    dead_port,
    error_of,
    one_model,
    raw_exchange,
    read_body,
)
from modelyard_runtime import keys
from starlette.types import Receive, Send
from waiting import until

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/model/proxy/42/embed", "/model/proxy/embed"])
async def test_any_method_reaches_the_instance(
    world: World, tiny: ModelServer, method: str, path: str
) -> None:
    response = await world.client.request(method, path, headers={"X-GPUStack-Model": "tiny"})
    assert response.status_code == 200
    assert (tiny.seen[0].method, tiny.seen[0].target) == (method, b"/embed")
    assert (response.content == b"") is (method == "HEAD")
    assert int(response.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        (b"/model/proxy/42/a%2Fb/%7Ec?q=%20+&q=a%26b&&=;x", b"/a%2Fb/%7Ec?q=%20+&q=a%26b&&=;x"),
        (b"/model/proxy/42/a/../b//c/./", b"/a/../b//c/./"),
        (b"/model/proxy/42/", b"/"),
        (b"/model/proxy/42", b"/"),
        (b"/model/proxy/42?x=1", b"/?x=1"),
        (b"/model/proxy/42/model/proxy/42/x", b"/model/proxy/42/x"),
    ],
)
async def test_path_and_query_are_kept_byte_for_byte(
    world: World, tiny: ModelServer, asked: bytes, target: bytes
) -> None:
    assert b"200 OK" in await raw_exchange(world, b"GET " + asked + b" HTTP/1.1")
    assert tiny.seen[0].target == target


async def test_the_body_is_untouched_by_id(world: World, tiny: ModelServer) -> None:
    body = b'{"model": "anything", "inputs": [1]} and then no JSON at all \x00\xff'
    response = await world.client.post("/model/proxy/42/embed", content=body)
    assert response.json() == {"server": "ten", "got": len(body)}
    assert tiny.seen[0].body == body
    assert "deprecation" not in response.headers


async def test_the_id_survives_a_rename_and_beats_the_header(world: World, tiny: ModelServer) -> None:
    await world.happen(route_changed(42, "new", generic_proxy=True), route(43, "other", deployment_id=9))
    response = await world.client.get("/model/proxy/42/x", headers={"X-GPUStack-Model": "other"})
    assert response.json()["server"] == "ten"


async def test_the_header_beats_the_body_and_reaches_the_instance(world: World, tiny: ModelServer) -> None:
    response = await world.client.post(
        "/model/proxy/v1/rerank", json={"model": "unknown"}, headers={"X-GPUStack-Model": "tiny"}
    )
    assert response.json()["server"] == "ten"
    assert tiny.seen[0].target == b"/v1/rerank"
    assert tiny.seen[0].header("x-gpustack-model") == ["tiny"]


async def test_the_older_form_says_that_it_goes(world: World, tiny: ModelServer) -> None:
    response = await world.client.post("/model/proxy/embed?a=1", json={"model": "tiny"})
    assert response.headers["deprecation"].startswith("@")
    assert response.headers["link"] == '</model/proxy/42/embed>; rel="successor-version"'


async def test_the_body_may_name_the_model(world: World, tiny: ModelServer) -> None:
    body = json.dumps({"inputs": ["x"], "model": "tiny"}).encode()
    assert (await world.client.post("/model/proxy/embed", content=body)).json()["got"] == len(body)
    assert tiny.seen[0].body == body


async def test_of_a_long_body_only_the_beginning_is_read_before_it_goes_on(
    world: World, tiny: ModelServer
) -> None:
    """It is longer than what the gateway would hold, and its end does not come before its beginning has
    reached the instance."""

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"model": "tiny", "inputs": "' + b"x" * 100_000
        await until(lambda: bool(tiny.seen and tiny.seen[0].chunks))
        for _ in range(8):
            yield b"x" * 100_000
        yield b'"}'

    response = await world.client.post("/model/proxy/embed", content=slowly())
    assert response.json()["got"] == 900_000 + 31
    assert b'{"model": "tiny"' in tiny.seen[0].body
    assert tiny.seen[0].header("transfer-encoding") == ["chunked"]


async def test_a_model_beyond_the_beginning_is_found_within_the_limit(
    world: World, tiny: ModelServer
) -> None:
    body = json.dumps({"inputs": "x" * 200_000, "model": "tiny"}).encode()
    assert (await world.client.post("/model/proxy/embed", content=body)).json()["got"] == len(body)
    body = json.dumps({"inputs": "x" * 400_000, "model": "tiny"}).encode()
    response = await world.client.post("/model/proxy/embed", content=body)
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")


async def test_a_body_and_its_answer_can_be_longer_than_any_buffer(world: World, tiny: ModelServer) -> None:
    async def copy(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        headers = [(b"content-length", str(len(seen.body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in seen.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    tiny.behave = copy
    body = bytes(range(256)) * 40_000
    response = await world.client.put("/model/proxy/42/files/1", content=body)
    assert response.content == body
    assert response.headers["content-length"] == str(len(body))
    assert tiny.seen[0].header("content-length") == [str(len(body))]


async def test_a_compressed_answer_stays_compressed(world: World, tiny: ModelServer) -> None:
    packed = b"\x1f\x8b not really gzip"

    async def answer(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        headers = [(b"content-encoding", b"gzip"), (b"set-cookie", b"a=b"), (b"location", b"/elsewhere")]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        await send({"type": "http.response.body", "body": packed})

    tiny.behave = answer
    async with world.client.stream("GET", "/model/proxy/42/x", headers={"Accept-Encoding": "gzip"}) as got:
        assert b"".join([chunk async for chunk in got.aiter_raw()]) == packed
    assert (got.status_code, got.headers["location"]) == (302, "/elsewhere")
    assert "set-cookie" not in got.headers
    assert tiny.seen[0].header("accept-encoding") == ["gzip"]


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_stays_without(world: World, tiny: ModelServer, status: int) -> None:
    async def answer(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"etag", b'"1"')]})
        await send({"type": "http.response.body", "body": b""})

    tiny.behave = answer
    for _ in range(2):
        response = await world.client.get("/model/proxy/42/x")
        assert (response.status_code, response.content, response.headers["etag"]) == (status, b"", '"1"')


async def test_what_clients_must_not_say_never_arrives(world: World, tiny: ModelServer) -> None:
    head = (
        b"GET /model/proxy/42/x HTTP/1.1\r\nCookie: a=b\r\nX-API-Key: secret\r\nX-Modelyard-User: 1\r\n"
        b"X-GPUStack-Access-Key: 1\r\nUpgrade: websocket\r\nConnection: X-Mine, Upgrade\r\nX-Mine: 1\r\n"
        b"X-Kept: 1\r\nx-kept: 2"
    )
    assert b"200 OK" in await raw_exchange(world, head)
    names = {name for name, _ in tiny.seen[0].headers}
    assert names == {b"host", b"x-request-id", b"x-kept"}
    assert tiny.seen[0].header("x-kept") == ["1", "2"]


# --- refused


async def test_only_where_it_is_switched_on(world: World) -> None:
    async with one_model(world, generic_proxy=False) as server:
        for path in ("/model/proxy/42/x", "/model/proxy/41/x"):
            response = await world.client.get(path)
            assert (response.status_code, error_of(response)["code"]) == (404, "route_not_found")
        response = await world.client.get("/model/proxy/x", headers={"X-GPUStack-Model": "tiny"})
        assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")
        await world.happen(route_changed(42, "tiny", generic_proxy=True))
        assert (await world.client.get("/model/proxy/42/x")).status_code == 200
    assert len(server.seen) == 1


async def test_only_for_models_the_key_may_call(world: World, tiny: ModelServer) -> None:
    narrow = keys.generate()
    await world.happen(a_key(2, narrow, allowed=("other",)))
    world.client.headers["Authorization"] = f"Bearer {narrow.text()}"
    for path in ("/model/proxy/42/x", "/model/proxy/x"):
        response = await world.client.get(path, headers={"X-GPUStack-Model": "tiny"})
        assert (response.status_code, error_of(response)["code"]) == (403, "model_not_allowed")
    assert tiny.seen == []


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "missing_model"), (b"not json", "invalid_json"), (b'{"inputs": 1}', "missing_model")],
)
async def test_the_older_form_needs_a_model(world: World, tiny: ModelServer, body: bytes, code: str) -> None:
    for method in ("GET", "POST"):
        response = await world.client.request(method, "/model/proxy/embed", content=body)
        assert (response.status_code, error_of(response)["code"]) == (400, code)
    assert tiny.seen == []


async def test_the_bare_prefix_is_no_path_of_ours(world: World, tiny: ModelServer) -> None:
    for asked in (b"/model/proxy", b"/model%2Fproxy/42/x", b"/model/proxy%2F42/x"):
        assert b" 404 " in await raw_exchange(world, b"GET " + asked + b" HTTP/1.1")
    assert tiny.seen == []


async def test_a_client_that_hangs_up_amid_its_upload_ends_the_request(
    world: World, tiny: ModelServer
) -> None:
    async def wait_for_all(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            seen.chunks.append(message["body"])
        server.hung_up.set()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await asyncio.Event().wait()

    tiny.behave = wait_for_all
    asked = asyncio.create_task(world.client.post("/model/proxy/42/x", content=endless()))
    await until(lambda: bool(tiny.seen and tiny.seen[0].body))
    asked.cancel()
    async with asyncio.timeout(2):
        await tiny.hung_up.wait()
    await until(lambda: world.gateway.balancer.in_flight() == 0)


async def test_a_streamed_upload_finds_another_instance_too(world: World, tiny: ModelServer) -> None:
    """Nothing of the body is lost on the instance that refused the connection."""

    async def pieces() -> AsyncIterator[bytes]:
        for n in range(10):
            yield b"%d" % n * 10_000

    with dead_port() as port:
        await world.happen(*(running(n, port=port) for n in range(20, 24)))
        response = await world.client.post("/model/proxy/42/x", content=pieces())
    assert response.json() == {"server": "ten", "got": 100_000}
