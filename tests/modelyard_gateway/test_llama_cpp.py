"""Through the gateway to a real model server: llama.cpp with a tiny model."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from modelyard_gateway.domain.record import Record
from modelyard_gateway.domain.tokens import tokens_of
from modelyard_gateway_facts import route, running
from modelyard_gateway_world import World, dead_port, gateway_world
from served_llama_cpp import llama_cpp_server

ASKED: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 24,
    "temperature": 0,
    "seed": 1,
    "grammar": "root ::= [a-z]+",
}


@pytest.fixture(scope="module")
async def llama_cpp(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    async with llama_cpp_server(tmp_path_factory.mktemp("llama")) as port:
        yield port


@pytest.fixture
async def served(llama_cpp: int) -> AsyncIterator[World]:
    """A gateway whose model `tiny` is the llama.cpp server and an instance that refuses connections."""
    async with gateway_world() as world:
        with dead_port() as port:
            await world.happen(
                route(1, "tiny", generic_proxy=True), running(10, port=port), running(11, port=llama_cpp)
            )
            yield world


def data_of(events: bytes) -> list[dict[str, Any]]:
    """The JSON of each server-sent event but the closing `[DONE]`, which must be there."""
    texts = [event.removeprefix("data: ") for event in events.decode().split("\n\n") if event]
    assert texts.pop() == "[DONE]"
    return [json.loads(text) for text in texts]


async def test_a_streamed_chat_says_the_same_as_a_whole_one(served: World) -> None:
    whole = await served.client.post("/v1/chat/completions", json=ASKED)
    assert whole.status_code == 200
    answer = whole.json()["choices"][0]["message"]["content"]
    streamed = await served.client.post("/v1/chat/completions", json={**ASKED, "stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = data_of(streamed.content)
    assert len(events) > 2
    said = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
    assert "".join(said) == answer != ""


async def test_a_stream_through_the_gateway_is_the_stream_of_the_server(
    served: World, llama_cpp: int
) -> None:
    """Same events in the same order; ids and times differ from one answer to the next."""
    body = {**ASKED, "stream": True, "cache_prompt": False}
    through = await served.client.post("/v1/chat/completions", json=body)
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        direct = await client.post(f"http://127.0.0.1:{llama_cpp}/v1/chat/completions", json=body)
    assert [e["choices"] for e in data_of(through.content)] == [e["choices"] for e in data_of(direct.content)]
    assert through.headers["content-type"] == direct.headers["content-type"]


async def test_the_usage_of_a_stream_is_counted_and_shown_to_who_asked(served: World) -> None:
    records: list[Record] = []
    served.gateway.plane.on_finished = records.append
    body = {**ASKED, "stream": True}
    asked = {**body, "stream_options": {"include_usage": True}}
    silent = data_of((await served.client.post("/v1/chat/completions", json=body)).content)
    told = data_of((await served.client.post("/v1/chat/completions", json=asked)).content)
    assert not any(event.get("usage") for event in silent)
    assert told[-1]["choices"] == []
    assert [event["choices"] for event in told[:-1]] == [event["choices"] for event in silent]
    shown = tokens_of(told[-1]["usage"])
    counted = [tokens_of(record.usage or {}) for record in records]
    assert [tokens[:2] for tokens in counted] == [shown[:2]] * 2
    assert shown[0] > 0
    assert shown[1] == 24


async def test_completions_and_the_generic_proxy(served: World) -> None:
    asked = {"model": "tiny", "prompt": "hello", "max_tokens": 4}
    completion = await served.client.post("/v1/completions", json=asked)
    assert completion.json()["usage"]["completion_tokens"] >= 1
    tokens = await served.client.post("/model/proxy/1/tokenize", json={"content": "hello"})
    assert tokens.json()["tokens"]
    named = await served.client.post("/model/proxy/tokenize", json={"content": "hello", "model": "tiny"})
    assert named.json() == tokens.json()


async def test_what_the_server_refuses_is_passed_on(served: World) -> None:
    refused = await served.client.post("/v1/chat/completions", json={"model": "tiny", "messages": "none"})
    assert 400 <= refused.status_code < 600
    assert refused.json()["error"]["message"]


async def test_a_client_that_hangs_up_frees_the_slot(served: World, llama_cpp: int) -> None:
    """The server stops in the middle: it never computes what nobody waits for."""
    endless = {**ASKED, "stream": True, "max_tokens": 1900, "ignore_eos": True}
    del endless["grammar"]
    before = await tokens_predicted(llama_cpp)
    for _ in range(4):
        async with served.client.stream("POST", "/v1/chat/completions", json=endless) as response:
            async for chunk in response.aiter_raw():
                assert chunk
                break
    async with asyncio.timeout(20):
        while await busy_slots(llama_cpp):
            await asyncio.sleep(0.02)
    assert served.gateway.balancer.in_flight() == 0
    assert await tokens_predicted(llama_cpp) - before < 1900


async def busy_slots(port: int) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        slots = (await client.get(f"http://127.0.0.1:{port}/slots")).json()
    return sum(slot["is_processing"] for slot in slots)


async def tokens_predicted(port: int) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith("llamacpp:tokens_predicted_total ")]
    return int(float(line.split()[1]))
