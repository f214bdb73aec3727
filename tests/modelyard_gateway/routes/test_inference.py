"""`/v1/...`: what is asked, what is forwarded, what is refused."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
from modelyard_contracts.deployments import Category
from modelyard_contracts.events import RouteCreated, RouteTarget, UserDeleted
from modelyard_gateway_facts import revoked, route, route_changed, running, stopping
from modelyard_gateway_world import (
    API_KEY,
    TEST_SETTINGS,
    ModelServer,
    Seen,
    World,
    a_key,
    dead_port,
    echo,
    error_of,
    gateway_world,
    model_servers,
    read_body,
)
from modelyard_runtime import keys
from starlette.types import Receive, Send
from waiting import until

PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]


async def test_the_older_prefix_says_what_takes_its_place(world: World, tiny: ModelServer) -> None:
    chat = "/v1-openai/chat/completions"
    older = [
        await world.client.post(chat, json={"model": "tiny"}),
        await world.client.get("/v1-openai/models"),
    ]
    for answer, path in zip(older, ("/v1/chat/completions", "/v1/models"), strict=True):
        assert answer.headers["link"] == f'<{path}>; rel="successor-version"'
        assert "deprecation" in answer.headers
    assert "deprecation" not in (await world.chat()).headers


# --- models


async def test_models_are_those_with_a_target_that_the_key_may_call(world: World) -> None:
    narrow = keys.generate()
    await world.happen(
        route(1, "b"),
        route(2, "a"),
        RouteCreated(route_id=3, name="empty", targets=(), generic_proxy=False),
        a_key(2, narrow, allowed=("b", "empty", "none")),
    )
    listed = (await world.client.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["a", "b"]
    created = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    assert listed["data"][0] == {"id": "a", "object": "model", "created": created, "owned_by": "modelyard"}
    for path in ("/v1/models", "/v1-openai/models"):
        response = await world.client.get(path, headers={"Authorization": f"Bearer {narrow.text()}"})
        assert [model["id"] for model in response.json()["data"]] == ["b"]


async def test_one_model_is_found_by_its_name(world: World) -> None:
    await world.happen(route(1, "org.model:v1"))
    assert (await world.client.get("/v1/models/org.model:v1")).json()["id"] == "org.model:v1"
    missing = await world.client.get("/v1/models/other")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "model_not_found")


async def test_models_can_be_asked_by_category_and_with_what_is_known_of_them(world: World) -> None:
    await world.happen(
        RouteCreated(
            route_id=1, name="a", targets=(RouteTarget(deployment_id=1),), generic_proxy=False,
            categories=(Category.EMBEDDING,),
        ),
        route(2, "b"),
        running(10),
    )  # fmt: skip
    listed = (await world.client.get("/v1/models?categories=embedding&with_meta=true")).json()["data"]
    assert [model["id"] for model in listed] == ["a"]
    assert listed[0]["meta"] == {"categories": ["embedding"], "running_instances": 1, "route_id": 1}
    both = (await world.client.get("/v1/models?categories=embedding&categories=unknown")).json()["data"]
    assert [model["id"] for model in both] == ["a", "b"]
    assert "meta" not in both[0]


# --- forwarding


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("prefix", ["/v1", "/v1-openai"])
async def test_a_request_reaches_the_instance_unchanged(
    world: World, tiny: ModelServer, path: str, prefix: str
) -> None:
    body = b'{ "input": "caf\xc3\xa9",\n "model":"tiny" }'
    response = await world.client.post(path.replace("/v1", prefix, 1) + "?a=%7E&b=1+2", content=body)
    assert response.status_code == 200
    assert response.json() == {"server": "ten", "got": len(body)}
    (seen,) = tiny.seen
    assert (seen.method, seen.target, seen.body) == ("POST", path.encode() + b"?a=%7E&b=1+2", body)
    assert seen.header("host") == [f"127.0.0.1:{tiny.port}"]
    assert seen.header("authorization") == []
    assert seen.header("x-request-id") == [response.headers["x-request-id"]]


async def test_an_answer_with_an_error_status_is_the_models_own(world: World, tiny: ModelServer) -> None:
    async def refuse(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        headers = [(b"content-type", b"text/x-odd"), (b"x-own", b"1"), (b"x-own", b"2")]
        await send({"type": "http.response.start", "status": 422, "headers": headers})
        await send({"type": "http.response.body", "body": b"own words"})

    tiny.behave = refuse
    response = await world.chat()
    assert (response.status_code, response.content) == (422, b"own words")
    assert response.headers["content-type"] == "text/x-odd"
    assert response.headers.get_list("x-own") == ["1", "2"]
    assert len(tiny.seen) == 1


async def test_events_arrive_one_by_one_untouched_and_complete(world: World, tiny: ModelServer) -> None:
    events = [f'event: e{n}\ndata: {{"n": {n}}}\n\n'.encode() for n in range(50)] + [b"data: [DONE]\n\n"]
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def stream(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for event in events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
            assert await received.get() == event  # so that nothing between us can have held it back
        await send({"type": "http.response.body", "body": b""})

    tiny.behave = stream
    async with asyncio.timeout(20):
        request = {"model": "tiny", "stream": True}
        async with world.client.stream("POST", "/v1/chat/completions", json=request) as response:
            assert response.headers["content-type"] == "text/event-stream"
            got = []
            async for chunk in response.aiter_raw():
                got.append(chunk)
                received.put_nowait(chunk)
    assert got == events


# --- who may


@pytest.mark.parametrize("path", [*PATHS, "/model/proxy/42/x", "/model/proxy/x"])
async def test_without_a_good_key_nothing_is_forwarded(world: World, tiny: ModelServer, path: str) -> None:
    expired, gone, orphan = keys.generate(), keys.generate(), keys.generate()
    await world.happen(
        a_key(2, expired, expires_at=datetime(2026, 1, 1, tzinfo=UTC)),
        a_key(3, gone),
        revoked(3),
        a_key(4, orphan, user_id=9),
        UserDeleted(user_id=9, username="ann"),
    )
    wrong = keys.ApiKey(API_KEY.access_key, "0" * 64)
    bad = ["_", "sk-1", *(key.text() for key in (expired, gone, orphan, wrong, keys.generate()))]
    for text in bad:
        response = await world.client.post(
            path, json={"model": "tiny"}, headers={"Authorization": f"Bearer {text}"}
        )
        assert response.status_code == 401, text
        assert response.headers["www-authenticate"] == "Bearer"
        assert error_of(response)["code"] == "invalid_api_key"
    assert tiny.seen == []


async def test_a_key_may_come_as_x_api_key(world: World, tiny: ModelServer) -> None:
    headers = {"X-API-Key": API_KEY.text()}
    async with httpx.AsyncClient(base_url=world.client.base_url, trust_env=False) as client:
        response = await client.post("/v1/completions", json={"model": "tiny"}, headers=headers)
    assert response.status_code == 200
    assert tiny.seen[0].header("x-api-key") == []


async def test_a_key_calls_only_the_models_it_may(world: World, tiny: ModelServer) -> None:
    narrow = keys.generate()
    await world.happen(a_key(2, narrow, allowed=("other",)))
    world.client.headers["Authorization"] = f"Bearer {narrow.text()}"
    response = await world.chat()
    assert (response.status_code, error_of(response)["code"]) == (403, "model_not_allowed")
    assert (await world.client.get("/v1/models/tiny")).status_code == 403
    assert tiny.seen == []


async def test_nobody_comes_in_before_the_table_has_caught_up() -> None:
    async with gateway_world(fed=False) as world:
        assert (await world.client.get("/healthz")).status_code == 200
        assert (await world.client.get("/readyz")).status_code == 503
        for response in (await world.chat(), await world.client.get("/v1/models")):
            assert (response.status_code, error_of(response)["code"]) == (503, "not_ready")
            assert response.headers["retry-after"] == "5"
        await world.start_feeding()
        assert (await world.client.get("/readyz")).status_code == 200
        assert (await world.client.get("/v1/models")).status_code == 200


# --- what is refused


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"{}", "missing_model"),
        (b'{"model": 7}', "missing_model"),
    ],
)
async def test_a_body_that_names_no_model_is_refused(
    world: World, tiny: ModelServer, body: bytes, code: str
) -> None:
    response = await world.client.post("/v1/chat/completions", content=body)
    assert (response.status_code, error_of(response)["code"]) == (400, code)
    assert tiny.seen == []


async def test_a_body_whose_model_does_not_come_in_time_is_refused(world: World, tiny: ModelServer) -> None:
    response = await world.client.post(
        "/v1/chat/completions", json={"padding": "x" * 400_000, "model": "tiny"}
    )
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")
    assert tiny.seen == []


async def test_an_unknown_model_is_404_and_one_without_instances_503(world: World) -> None:
    await world.happen(route(1, "stopped"))
    response = await world.chat("unknown")
    assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")
    assert error_of(response)["param"] == "model"
    response = await world.chat("stopped")
    assert (response.status_code, error_of(response)["code"]) == (503, "no_running_instance")
    assert int(response.headers["retry-after"]) >= 1


async def test_unknown_paths_and_methods_are_refused_in_the_same_shape(world: World) -> None:
    response = await world.client.get("/v1/unknown")
    assert (response.status_code, error_of(response)["code"]) == (404, "unknown_url")
    response = await world.client.get("/v1/chat/completions")
    assert (response.status_code, error_of(response)["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


async def test_every_response_carries_a_request_id(world: World, tiny: ModelServer) -> None:
    for path in ("/healthz", "/readyz", "/v1/models", "/v1/none", "/v1/models/none"):
        given = await world.client.get(path, headers={"X-Request-Id": "my-id.1_A"})
        assert given.headers.get_list("x-request-id") == ["my-id.1_A"]
        made = await world.client.get(path, headers={"X-Request-Id": "my id"})
        assert made.headers["x-request-id"] not in ("", "my id")
    response = await world.client.post(
        "/v1/completions", json={"model": "tiny"}, headers={"X-Request-Id": "abc"}
    )
    assert response.headers.get_list("x-request-id") == tiny.seen[0].header("x-request-id") == ["abc"]


# --- when instances come and go


async def test_an_instance_that_refuses_connections_is_skipped_and_the_others_serve(world: World) -> None:
    alive = ModelServer("alive")
    with dead_port() as port:
        async with model_servers(alive):
            await world.happen(route(1, "tiny"), running(10, port=port), running(11, port=alive.port))
            for _ in range(20):
                assert (await world.chat()).json()["server"] == "alive"
    assert len(alive.seen) == 20


async def test_an_instance_that_cannot_be_reached_is_asked_again_where_no_other_is_left(world: World) -> None:
    with dead_port() as port:
        await world.happen(route(1, "tiny"), running(10, port=port))
        for _ in range(2):
            response = await world.chat()
            assert (response.status_code, error_of(response)["code"]) == (502, "instance_unreachable")
    server = ModelServer("restarted")
    async with model_servers(server):
        await world.happen(running(10, attempt=1, port=server.port))
        assert (await world.chat()).json()["server"] == "restarted"


async def test_what_an_instance_may_have_begun_is_not_asked_of_another(world: World) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.append(1)
        writer.close()

    begun: list[int] = []
    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        await world.happen(route(1, "tiny"), running(10, port=port), running(11, port=port))
        response = await world.chat()
    assert (response.status_code, error_of(response)["code"]) == (502, "instance_failed")
    assert begun == [1]


async def test_a_response_that_breaks_off_is_not_taken_for_whole(world: World) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ndata: \r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await world.happen(route(1, "tiny"), running(10, port=port))
        with pytest.raises(httpx.RemoteProtocolError):
            await world.chat()


async def test_an_instance_that_stays_silent_is_given_up() -> None:
    async def hang(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        while (await receive())["type"] != "http.disconnect":
            pass
        server.hung_up.set()

    settings = TEST_SETTINGS.model_copy(update={"first_byte_timeout_s": 0.3})
    silent = ModelServer("silent", hang)
    async with model_servers(silent), gateway_world(settings=settings) as world:
        await world.happen(route(1, "tiny"), running(10, port=silent.port))
        response = await world.chat()
        assert (response.status_code, error_of(response)["code"]) == (504, "instance_timeout")
        async with asyncio.timeout(5):
            await silent.hung_up.wait()


async def test_a_stopping_instance_gets_no_new_requests(world: World, tiny: ModelServer) -> None:
    assert (await world.chat()).status_code == 200
    await world.happen(stopping(10))
    assert (await world.chat()).status_code == 503


async def test_requests_go_where_fewest_are_running(world: World) -> None:
    async def wait(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await server.go_on.wait()
        await echo(server, seen, receive, send)

    servers = [ModelServer(f"s{n}", wait) for n in range(4)]
    async with model_servers(*servers):
        await world.happen(
            route(1, "tiny"), *(running(n, port=server.port) for n, server in enumerate(servers))
        )
        asked = [asyncio.create_task(world.chat()) for _ in range(12)]
        await until(lambda: sum(len(server.seen) for server in servers) == 12)
        assert [len(server.seen) for server in servers] == [3, 3, 3, 3]
        for server in servers:
            server.go_on.set()
        assert {response.status_code for response in await asyncio.gather(*asked)} == {200}
    assert world.gateway.balancer.in_flight() == 0


async def test_a_client_that_hangs_up_ends_the_work_at_the_instance(world: World, tiny: ModelServer) -> None:
    async def stall(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        if b"begin" in seen.body:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        server.hung_up.set()

    tiny.behave = stall
    for body in ({"model": "tiny", "begin": True}, {"model": "tiny"}):
        tiny.hung_up.clear()
        count = len(tiny.seen)
        asked = asyncio.create_task(world.client.post("/v1/completions", json=body))
        await until(lambda count=count: len(tiny.seen) > count)  # type: ignore[misc]
        asked.cancel()
        async with asyncio.timeout(2):
            await tiny.hung_up.wait()
        await until(lambda: world.gateway.balancer.in_flight() == 0)


async def test_it_keeps_routing_when_the_log_is_gone(world: World, tiny: ModelServer) -> None:
    await world.lose_log()
    await world.happen(stopping(10))
    assert (await world.chat()).status_code == 200
    assert (await world.client.get("/readyz")).status_code == 200
    await world.start_feeding()
    await world.happen()
    assert (await world.chat()).status_code == 503


async def test_a_renamed_route_is_called_by_its_new_name(world: World, tiny: ModelServer) -> None:
    await world.happen(route_changed(42, "new"))
    assert (await world.chat("tiny")).status_code == 404
    assert (await world.chat("new")).status_code == 200
