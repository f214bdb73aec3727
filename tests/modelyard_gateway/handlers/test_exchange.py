"""Which instances are asked, in what order, and when not again."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from modelyard_contracts.base import Event
from modelyard_gateway.domain.record import Record
from modelyard_gateway_facts import lost, requested, route, running, silent, starting
from modelyard_gateway_world import (
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
    one_model,
    read_body,
)
from modelyard_runtime import keys
from modelyard_runtime.secrets import Sealer
from starlette.types import Receive, Send
from waiting import until


def answering(status: int) -> ModelServer:
    async def answer(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        headers = [(b"content-length", b"2"), (b"retry-after", b"9")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"no"})

    return ModelServer(f"always {status}", answer)


def finished(world: World) -> list[Record]:
    """Every record from now on."""
    records: list[Record] = []
    world.gateway.plane.on_finished = records.append
    return records


def instances(*servers: ModelServer) -> list[Event]:
    return [route(1, "tiny"), *(running(n, port=server.port) for n, server in enumerate(servers, start=1))]


@pytest.mark.parametrize("status", [502, 503])
async def test_an_instance_that_did_not_do_it_leaves_it_to_another(world: World, status: int) -> None:
    bad, good = answering(status), ModelServer("good")
    records = finished(world)
    async with model_servers(bad, good):
        await world.happen(*instances(bad, good))
        for _ in range(12):
            assert (await world.chat()).json()["server"] == "good"
    assert 1 <= len(bad.seen) <= 3
    assert [record.instance_id for record in records] == [2] * 12
    tried = [attempt for record in records for attempt in record.attempts]
    assert {(attempt.instance_id, attempt.outcome) for attempt in tried} == {(1, f"status {status}")}


@pytest.mark.parametrize("status", [400, 401, 404, 408, 413, 422, 429, 500, 504])
async def test_any_other_answer_is_the_answer(world: World, status: int) -> None:
    servers = [answering(status), answering(status)]
    async with model_servers(*servers):
        await world.happen(*instances(*servers))
        response = await world.chat()
    assert (response.status_code, response.text) == (status, "no")
    assert sum(len(server.seen) for server in servers) == 1


async def test_where_none_can_the_last_answer_is_passed_on(world: World) -> None:
    servers = [answering(503), answering(503), answering(503)]
    async with model_servers(*servers):
        await world.happen(*instances(*servers))
        response = await world.chat()
    assert (response.status_code, response.text, response.headers["retry-after"]) == (503, "no", "9")
    assert [len(server.seen) for server in servers] == [1, 1, 1]


async def test_a_body_that_was_streamed_is_not_sent_twice(world: World) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"model": "tiny", "x": "'
        while not sum(len(server.seen) for server in servers):
            await asyncio.sleep(0.01)
        yield b'"}'

    servers = [answering(503), answering(503)]
    async with model_servers(*servers):
        await world.happen(*instances(*servers))
        response = await world.client.post("/v1/embeddings", content=slowly())
    assert response.status_code == 503
    assert sum(len(server.seen) for server in servers) == 1


async def test_an_instance_that_refused_is_left_alone_for_a_while_and_each_is_tried_once(
    world: World,
) -> None:
    alive = ModelServer("alive")
    records = finished(world)
    with dead_port() as port:
        async with model_servers(alive):
            await world.happen(route(1, "tiny"), running(1, port=port), running(2, port=alive.port))
            for _ in range(10):
                assert (await world.chat()).status_code == 200
            await world.happen(*(running(n, attempt=1, port=port) for n in (1, 2)), running(3, port=port))
            refused = await world.chat()
    assert (refused.status_code, error_of(refused)["code"]) == (502, "instance_unreachable")
    assert sum(len(record.attempts) for record in records[:10]) == 1
    assert {attempt.instance_id for attempt in records[10].attempts} == {1, 2, 3}
    assert (records[10].status, records[10].code) == (502, "instance_unreachable")


async def test_instances_of_a_silent_worker_serve_where_no_other_can(world: World) -> None:
    servers = [ModelServer("one"), ModelServer("two")]
    async with model_servers(*servers):
        await world.happen(
            route(1, "tiny"), *(running(n, worker_id=n, port=server.port) for n, server in enumerate(servers))
        )
        await world.happen(silent(0))
        assert {(await world.chat()).json()["server"] for _ in range(6)} == {"two"}
        await world.happen(lost(1))
        assert {(await world.chat()).json()["server"] for _ in range(6)} == {"one", "two"}


async def test_an_instance_that_keeps_failing_is_passed_over_until_it_is_well() -> None:
    settings = TEST_SETTINGS.model_copy(update={"skip_failed_s": 0.5, "eject_after": 3})
    sick, well = answering(503), ModelServer("well")
    async with model_servers(sick, well), gateway_world(settings=settings) as world:
        await world.happen(*instances(sick, well))
        while len(sick.seen) < 3:
            assert (await world.chat()).status_code == 200
        sick.behave = echo
        async with asyncio.timeout(10):
            while (await world.chat()).json()["server"] == "well":
                await asyncio.sleep(0.02)
        assert len(sick.seen) == 4


async def test_usage_is_seen_in_passing_streamed_or_not(world: World, tiny: ModelServer) -> None:
    pieces = [
        b'data: {"choices":[{"delta":{"content":"a \\"usage\\": {} b"}}],"usage":null}\n\n',
        b'data: {"choices":[],"us',
        b'age":{"prompt_tokens":3,"comple',
        b'tion_tokens":4}}\n\ndata: [DONE]\n\n',
    ]

    async def stream(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b""})

    records = finished(world)
    tiny.behave = stream
    response = await world.chat()
    assert response.content == b"".join(pieces)
    (record,) = records
    assert record.usage == {"prompt_tokens": 3, "completion_tokens": 4}
    assert (record.status, record.route_id, record.instance_id, record.key_id) == (200, 42, 10, 1)
    assert record.bytes_out == len(response.content)
    assert record.first_byte_s is not None
    assert record.ended_s is not None
    assert record.first_byte_s <= record.ended_s
    assert record.code is None


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_usage_of_a_long_request_is_asked_for_without_waiting_for_its_end(
    world: World, tiny: ModelServer, chunked: bool
) -> None:
    async def stream(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        first = await receive()
        seen.chunks.append(first["body"])
        server.go_on.set()
        await read_body(seen, receive)
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
        await send({"type": "http.response.body", "body": b'data: {"choices":[{}]}\n\n' + usage})

    body = {"model": "tiny", "messages": [{"role": "user", "content": "x" * 600_000}], "stream": True}
    text = json.dumps(body).encode()

    async def slowly() -> AsyncIterator[bytes]:
        yield text[:400_000]
        await tiny.go_on.wait()
        yield text[400_000:]

    tiny.behave = stream
    records = finished(world)
    length = {} if chunked else {"Content-Length": str(len(text))}
    headers = {"Content-Type": "application/json", **length}
    answer = await world.client.post("/v1/chat/completions", content=slowly(), headers=headers)
    assert answer.content == b'data: {"choices":[{}]}\n\n'
    assert json.loads(tiny.seen[0].body) == {**body, "stream_options": {"include_usage": True}}
    assert records[0].usage == {"prompt_tokens": 3, "completion_tokens": 4}


async def test_every_exchange_is_recorded_once_however_it_ends(world: World, tiny: ModelServer) -> None:
    records = finished(world)
    await world.chat("none")
    await world.client.post("/v1/completions", content=b"{")
    await world.chat()
    await world.client.get("/model/proxy/42/x")
    assert [record.code for record in records] == ["model_not_found", "invalid_json", None, None]
    assert [record.status for record in records] == [404, 400, 200, 200]


async def test_a_model_server_is_asked_by_the_name_it_knows(world: World) -> None:
    server = ModelServer("one")
    async with model_servers(server):
        await world.happen(route(1, "public"), requested(1, name="inner"), running(1, port=server.port))
        bodies = [
            (b'{"model": "public", "x": "\\u00e9"}', b'{"model": "inner", "x": "\\u00e9"}'),
            (
                b'{ "x": {"model": "public"}, "model":"public"}',
                b'{ "x": {"model": "public"}, "model":"inner"}',
            ),
        ]
        for sent, got in bodies:
            response = await world.client.post("/v1/chat/completions", content=sent)
            assert response.json()["got"] == len(got)
            assert server.seen[-1].body == got
        form = await world.client.post(
            "/v1/audio/transcriptions", data={"model": "public"}, files={"file": ("a.wav", b"abc" * 1000)}
        )
        assert form.status_code == 200
        assert b'name="model"\r\n\r\ninner\r\n' in server.seen[-1].body
        assert server.seen[-1].header("content-length") == [str(len(server.seen[-1].body))]
        assert server.seen[-1].target == b"/v1/audio/transcriptions"


async def test_the_answer_names_the_model_as_the_client_did(world: World) -> None:
    said = b'{"model":"inner","choices":[{"text":"\\"model\\":\\"inner\\""}]}'
    events = (
        b'data: {"model": "inner", "choices": [1]}\n\n',
        b'data: {"model": "inner"}\n\ndata: [DONE]\n\n',
    )

    async def naming(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        streams = b"stream" in seen.body
        headers = [(b"content-length", str(len(said)).encode())] if not streams else []
        kind = b"text/event-stream" if streams else b"application/json"
        start = {"type": "http.response.start", "status": 200}
        await send({**start, "headers": [(b"content-type", kind), *headers]})
        for part in events if streams else (said,):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    server = ModelServer("one", naming)
    async with model_servers(server):
        await world.happen(route(1, "public"), requested(1, name="inner"), running(1, port=server.port))
        whole = await world.chat("public")
        streamed = await world.chat("public", stream=True)
    assert whole.content == said.replace(b'"model":"inner"', b'"model":"public"', 1)
    assert whole.headers["content-length"] == str(len(whole.content))
    assert streamed.content == b"".join(events).replace(b"inner", b"public")


async def test_an_adapter_is_asked_of_the_instances_that_serve_it(world: World) -> None:
    servers = [ModelServer("plain"), ModelServer("adapted")]
    async with model_servers(*servers):
        await world.happen(
            route(1, "public"),
            requested(1, name="inner"),
            requested(2, name="inner", adapters=("sql",)),
            *(running(n, port=server.port) for n, server in enumerate(servers, start=1)),
        )
        for _ in range(4):
            assert (await world.chat("public:sql")).json()["server"] == "adapted"
        assert b'"model":"inner:sql"' in servers[1].seen[0].body.replace(b": ", b":")
        assert (await world.chat("public:none")).status_code == 503
        assert (await world.chat("other:sql")).status_code == 404
        narrow = keys.generate()
        await world.happen(a_key(2, narrow, allowed=("other",)))
        world.client.headers["Authorization"] = f"Bearer {narrow.text()}"
        assert (await world.chat("public:sql")).status_code == 403


async def test_llama_cpp_is_asked_for_an_adapter_by_its_number(world: World, tiny: ModelServer) -> None:
    await world.happen(
        route(1, "public"),
        requested(10, name="inner", adapters=("sql", "law")),
        starting(10, backend="llama.cpp"),
        running(10, port=tiny.port),
    )

    assert (await world.chat("public:law")).status_code == 200
    assert (await world.chat("public")).status_code == 200

    adapted, plain = [json.loads(seen.body) for seen in tiny.seen]
    assert (adapted["model"], adapted["lora"]) == ("inner:law", [{"id": 1, "scale": 1.0}])
    assert (plain["model"], "lora" in plain) == ("inner", False)


async def test_what_became_of_a_request_can_be_asked_by_its_user(world: World, tiny: ModelServer) -> None:
    with dead_port() as port:
        await world.happen(running(11, port=port))
        while (
            not (response := await world.chat()).headers["x-request-id"]
            or not (
                told := (await world.client.get(f"/v2/requests/{response.headers['x-request-id']}")).json()
            )["failed_attempts"]
        ):
            pass
    assert response.headers["x-modelyard-instance"] == "10"
    assert (told["status"], told["model"], told["route_id"], told["instance_id"]) == (200, "tiny", 42, 10)
    assert told["failed_attempts"][0]["instance_id"] == 11
    assert told["failed_attempts"][0]["outcome"] == "unreachable"
    assert told["reason"]
    other = keys.generate()
    await world.happen(a_key(2, other, user_id=2))
    headers = {"Authorization": f"Bearer {other.text()}"}
    hidden = await world.client.get(f"/v2/requests/{response.headers['x-request-id']}", headers=headers)
    assert (hidden.status_code, error_of(hidden)["code"]) == (503, "not_ready"), "others cannot be asked here"


@pytest.mark.parametrize(
    "path", ["responses", "rerank", "score", "moderations", "images/generations", "audio/speech", "messages"]
)
async def test_every_protocols_paths_are_forwarded(world: World, tiny: ModelServer, path: str) -> None:
    assert (await world.client.post(f"/v1/{path}", json={"model": "tiny"})).status_code == 200
    assert tiny.seen[0].target == f"/v1/{path}".encode()


async def test_refusals_of_anthropics_paths_have_anthropics_shape(world: World) -> None:
    refused = await world.client.post("/v1/messages", json={"model": "none"})
    assert refused.status_code == 404
    body = refused.json()
    assert body["type"] == "error"
    assert (body["error"]["type"], body["error"]["code"]) == ("not_found_error", "model_not_found")
    assert body["request_id"] == refused.headers["x-request-id"]


# --- queues and long waits


async def waiting(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
    await server.go_on.wait()
    await echo(server, seen, receive, send)


@pytest.fixture
async def narrow() -> AsyncIterator[World]:
    """An instance gets one request at a time, one more may wait."""
    update = {"max_in_flight": 1, "queue_size": 1, "queue_timeout_s": 30.0}
    async with gateway_world(settings=TEST_SETTINGS.model_copy(update=update)) as found:
        yield found


async def test_what_no_instance_has_room_for_waits_its_turn_and_more_is_429(narrow: World) -> None:
    async with one_model(narrow) as tiny:
        tiny.behave = waiting
        first = asyncio.create_task(narrow.chat())
        await until(lambda: len(tiny.seen) == 1)
        second = asyncio.create_task(narrow.chat())
        await until(lambda: bool(narrow.gateway.plane.waiting.queues))
        third = await narrow.chat()
        assert (third.status_code, error_of(third)["code"]) == (429, "queue_full")
        assert int(third.headers["retry-after"]) >= 1
        assert len(tiny.seen) == 1
        tiny.go_on.set()
        assert {(await first).status_code, (await second).status_code} == {200}
        assert len(tiny.seen) == 2
    assert narrow.gateway.balancer.in_flight() == 0
    assert narrow.gateway.plane.waiting.queues == {}


async def test_a_request_waits_no_longer_than_it_may(narrow: World) -> None:
    narrow.gateway.plane.limits = replace(narrow.gateway.plane.limits, queue_s=0.2)
    async with one_model(narrow) as tiny:
        tiny.behave = waiting
        first = asyncio.create_task(narrow.chat())
        await until(lambda: len(tiny.seen) == 1)
        second = await narrow.chat()
        assert (second.status_code, error_of(second)["code"]) == (503, "queue_timeout")
        tiny.go_on.set()
        assert (await first).status_code == 200
        assert (await narrow.chat()).status_code == 200


async def test_a_client_that_leaves_the_queue_makes_room_in_it(narrow: World) -> None:
    async with one_model(narrow) as tiny:
        tiny.behave = waiting
        first = asyncio.create_task(narrow.chat())
        await until(lambda: len(tiny.seen) == 1)
        second = asyncio.create_task(narrow.chat())
        await until(lambda: bool(narrow.gateway.plane.waiting.queues))
        second.cancel()
        await until(lambda: len(narrow.gateway.front.connections) == 1)
        third = asyncio.create_task(narrow.chat())
        tiny.go_on.set()
        assert {(await first).status_code, (await third).status_code} == {200}


@pytest.fixture
async def talkative() -> AsyncIterator[World]:
    async with gateway_world(settings=TEST_SETTINGS.model_copy(update={"sse_comment_s": 0.2})) as found:
        yield found


async def test_whoever_waits_for_a_stream_hears_comments_until_it_comes(talkative: World) -> None:
    async def late(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        await server.go_on.wait()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async with one_model(talkative) as tiny:
        tiny.behave = late
        request = {"model": "tiny", "stream": True}
        async with talkative.client.stream("POST", "/v1/chat/completions", json=request) as response:
            assert response.headers["content-type"] == "text/event-stream"
            chunks = response.aiter_raw()
            assert await anext(chunks) == b": still working\n\n"
            assert await anext(chunks) == b": still working\n\n"
            tiny.go_on.set()
            assert b"".join([chunk async for chunk in chunks]).endswith(b"data: [DONE]\n\n")
        assert (await talkative.chat()).status_code == 200


async def test_an_error_behind_comments_is_an_event(talkative: World) -> None:
    async def fail(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
        await read_body(seen, receive)
        await server.go_on.wait()
        await send({"type": "http.response.start", "status": 400, "headers": [(b"content-length", b"14")]})
        await send({"type": "http.response.body", "body": b'{"error":\n"a"}'})

    async with one_model(talkative) as tiny:
        tiny.behave = fail
        request = {"model": "tiny", "stream": True}
        async with talkative.client.stream("POST", "/v1/chat/completions", json=request) as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == b": still working\n\n"
            tiny.go_on.set()
            rest = b"".join([chunk async for chunk in chunks])
        assert rest.endswith(b'data: {"error":\ndata: "a"}\n\n')


async def test_whoever_waits_for_no_stream_hears_nothing(talkative: World) -> None:
    async with one_model(talkative) as tiny:
        tiny.behave = waiting
        asked = asyncio.create_task(talkative.chat(user='"stream": true'))
        await until(lambda: len(tiny.seen) == 1)
        await asyncio.sleep(0.5)
        tiny.go_on.set()
        assert (await asked).json()["server"] == "ten"


async def test_a_relay_hears_the_token_once_a_connection_and_each_instance_has_its_own() -> None:
    key = Sealer.new_key()
    relay = ModelServer("relay")
    settings = TEST_SETTINGS.model_copy(update={"secret_key": key})
    async with gateway_world(settings=settings) as world, model_servers(relay):
        one, two = (Sealer(key).seal(token) for token in ("one", "two"))
        await world.happen(
            route(1, "tiny"),
            running(1, port=relay.port, relay_token=one),
            running(2, port=relay.port, relay_token=two),
        )
        for _ in range(8):
            assert (await world.chat()).status_code == 200

    said = [seen.header("x-modelyard-relay") for seen in relay.seen]
    assert sorted(token for tokens in said for token in tokens) == ["one", "two"]
    assert len(said) == 8


async def test_a_token_that_does_not_open_is_not_sent() -> None:
    relay = ModelServer("relay")
    settings = TEST_SETTINGS.model_copy(update={"secret_key": Sealer.new_key()})
    async with gateway_world(settings=settings) as world, model_servers(relay):
        sealed = Sealer(Sealer.new_key()).seal("other")
        await world.happen(route(1, "tiny"), running(1, port=relay.port, relay_token=sealed))
        await world.chat()

    assert relay.seen[0].header("x-modelyard-relay") == [""]
