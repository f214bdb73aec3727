"""Clients that speak Anthropic's protocol, and model servers that do not."""

import json

from modelyard_contracts.deployments import Backend
from modelyard_gateway_facts import requested, route, running
from modelyard_gateway_world import ModelServer, Seen, World, model_servers, read_body
from starlette.types import Receive, Send

ASKED = {"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 1}
WHOLE = {
    "id": "x",
    "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
CHUNKS = (
    b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\n',
    b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n\ndata: [DONE]\n\n',
)


async def chats(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
    await read_body(seen, receive)
    stream = json.loads(seen.body).get("stream", False)
    kind = b"text/event-stream" if stream else b"application/json; charset=utf-8"
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}
    await send(start)
    for part in CHUNKS if stream else (json.dumps(WHOLE).encode(),):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def test_messages_are_translated_for_a_server_that_knows_chats_alone(world: World) -> None:
    server = ModelServer("chat", chats)
    async with model_servers(server):
        await world.happen(
            route(1, "tiny"), requested(1, name="served", backend="x-custom"), running(1, port=server.port)
        )
        whole = await world.client.post("/v1/messages", json=ASKED)
        streamed = await world.client.post("/v1/messages", json={**ASKED, "stream": True})
        counted = await world.client.post("/v1/messages/count_tokens", json=ASKED)
        refused = await world.client.post("/v1/messages", json={**ASKED, "messages": 1})
        told = (await world.client.get(f"/v2/requests/{streamed.headers['x-request-id']}")).json()
    message = whole.json()
    assert (message["model"], message["content"]) == ("tiny", [{"type": "text", "text": "hi"}])
    assert whole.headers["content-type"] == "application/json"
    assert streamed.headers["content-type"] == "text/event-stream"
    assert streamed.text.startswith("event: message_start\n")
    assert streamed.text.endswith('data: {"type": "message_stop"}\n\n')
    assert told["usage"] == USAGE
    assert counted.json() == {"input_tokens": 3}
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert [seen.target for seen in server.seen] == [b"/v1/chat/completions"] * 3
    assert {json.loads(seen.body)["model"] for seen in server.seen} == {"served"}
    assert world.gateway.balancer.in_flight() == 0


async def test_messages_pass_as_they_are_to_a_server_that_speaks_them(world: World) -> None:
    server = ModelServer("native")
    async with model_servers(server):
        await world.happen(
            route(1, "tiny"),
            requested(1, name="tiny", backend=Backend.VLLM),
            running(1, port=server.port, version="0.11.1"),
        )
        passed = await world.client.post("/v1/messages", json=ASKED)
    assert passed.json()["server"] == "native"
    assert [(seen.target, json.loads(seen.body)) for seen in server.seen] == [(b"/v1/messages", ASKED)]


async def test_a_long_question_is_translated_once_it_is_whole(world: World) -> None:
    server = ModelServer("chat", chats)
    long = "x" * 200_000
    async with model_servers(server):
        await world.happen(
            route(1, "tiny"), requested(1, name="tiny", backend="x-custom"), running(1, port=server.port)
        )
        answer = await world.client.post(
            "/v1/messages", json={**ASKED, "messages": [{"role": "user", "content": long}]}
        )
    assert answer.json()["content"] == [{"type": "text", "text": "hi"}]
    assert json.loads(server.seen[0].body)["messages"][0]["content"] == long
