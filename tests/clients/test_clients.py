"""Unmodified client libraries against a real llama.cpp server through the gateway: `make test-clients`."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from modelyard_gateway_facts import requested, route, running, stopping
from modelyard_gateway_world import (
    API_KEY,
    TEST_SETTINGS,
    ModelServer,
    Seen,
    World,
    gateway_world,
    model_servers,
    read_body,
)
from served_llama_cpp import llama_cpp_server
from starlette.types import Receive, Send
from waiting import until

openai: Any = pytest.importorskip("openai", reason="client libraries are installed by make test-clients")
anthropic: Any = pytest.importorskip("anthropic")
pytestmark = pytest.mark.filterwarnings("default")

HELLO = [{"role": "user", "content": "hello"}]
LETTERS = {"grammar": "root ::= [a-z]+", "seed": 1}


@pytest.fixture(scope="module")
async def llama_cpp(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    async with llama_cpp_server(tmp_path_factory.mktemp("llama")) as port:
        yield port


@pytest.fixture
async def served(llama_cpp: int) -> AsyncIterator[World]:
    async with gateway_world(settings=TEST_SETTINGS.model_copy(update={"retry_after_s": 1})) as world:
        await world.happen(route(1, "tiny"), running(11, port=llama_cpp))
        yield world


def openai_client(world: World, **more: Any) -> Any:
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{world.port}/v1", api_key=API_KEY.text(), **more)


async def test_openai_chats_streamed_and_not(served: World) -> None:
    async with openai_client(served) as client:
        asked = {"model": "tiny", "messages": HELLO, "max_tokens": 12, "temperature": 0}
        asked |= {"extra_body": LETTERS}
        whole = await client.chat.completions.create(**asked)
        assert whole.usage.completion_tokens > 0
        assert whole._request_id.count("-") == 1
        stream = await client.chat.completions.create(**asked, stream=True)
        said = [choice.delta.content or "" async for event in stream for choice in event.choices]
    assert "".join(said) == whole.choices[0].message.content != ""


async def test_openai_lists_models_completes_and_answers(served: World) -> None:
    async with openai_client(served) as client:
        assert [model.id async for model in client.models.list()] == ["tiny"]
        assert (await client.models.retrieve("tiny")).id == "tiny"
        completed = await client.completions.create(model="tiny", prompt="hello", max_tokens=4)
        assert completed.usage.completion_tokens > 0
        answered = await client.responses.create(model="tiny", input="hello", max_output_tokens=4)
        assert answered.usage.output_tokens > 0


async def test_openai_raises_what_it_should(served: World) -> None:
    async with openai_client(served, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="none", messages=HELLO)
        assert missing.value.code == "model_not_found"
    async with openai_client(served, max_retries=0).with_options(api_key="sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_openai_comes_again_when_it_is_told_to(served: World, llama_cpp: int) -> None:
    await served.happen(stopping(11))
    async with openai_client(served, max_retries=3) as client:
        asked = asyncio.create_task(
            client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=2)
        )
        await until(lambda: len(served.gateway.front.connections) > 0)
        await served.happen(running(12, port=llama_cpp))
        assert (await asked).usage.completion_tokens > 0


async def test_openai_can_stop_amid_a_stream(served: World) -> None:
    async with openai_client(served) as client:
        stream = await client.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=1900, stream=True, extra_body={"ignore_eos": True}
        )
        async for _ in stream:
            break
        await stream.close()
    await until(lambda: served.gateway.balancer.in_flight() == 0)


def anthropic_client(world: World) -> Any:
    return anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{world.port}", api_key=API_KEY.text())


async def test_anthropic_speaks_with_a_server_that_speaks_it_too(served: World) -> None:
    async with anthropic_client(served) as client:
        asked = {"model": "tiny", "messages": HELLO, "max_tokens": 8}
        whole = await client.messages.create(**asked)
        assert whole.usage.output_tokens > 0
        counted = await client.messages.count_tokens(model="tiny", messages=HELLO)
        assert counted.input_tokens > 0
        async with client.messages.stream(**asked) as stream:
            events = [event.type async for event in stream]
        assert "content_block_delta" in events  # llama.cpp itself leaves out message_start at times
        assert events[-1] == "message_stop"
        with pytest.raises(anthropic.NotFoundError) as missing:
            await client.messages.create(**{**asked, "model": "none"})
        assert missing.value.body["error"]["type"] == "not_found_error"


@pytest.fixture
async def translated(served: World, llama_cpp: int) -> World:
    """The model `other`, whose server is said to know nothing of Anthropic's protocol."""
    await served.happen(
        route(2, "other", deployment_id=2),
        requested(21, name="other", deployment_id=2, backend="x-custom"),
        running(21, deployment_id=2, port=llama_cpp),
    )
    return served


ADD = {
    "name": "add",
    "description": "Adds two numbers.",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}


async def test_anthropic_speaks_with_a_server_that_knows_chats_alone(translated: World) -> None:
    asked = {"model": "other", "messages": HELLO, "max_tokens": 8, "system": "be brief"}
    asked["extra_body"] = {"temperature": 0}
    async with anthropic_client(translated) as client:
        whole = await client.messages.create(**asked)
        assert (whole.model, whole.role, whole.type) == ("other", "assistant", "message")
        assert whole.usage.output_tokens > 0
        async with client.messages.stream(**asked) as stream:
            events = [event.type async for event in stream]
            final = await stream.get_final_message()
        assert (events[0], events[-1]) == ("message_start", "message_stop")
        assert (final.usage.output_tokens, final.stop_reason) == (
            whole.usage.output_tokens,
            whole.stop_reason,
        )
        counted = await client.messages.count_tokens(model="other", messages=HELLO)
        assert counted.input_tokens > 0
        with pytest.raises(anthropic.BadRequestError) as refused:
            await client.messages.create(
                **{**asked, "messages": [{"role": "user", "content": [{"type": "x"}]}]}
            )
        assert "messages.0.content.0" in str(refused.value)


CALLED: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 1, "b": 1}'},
}
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


async def calls(server: ModelServer, seen: Seen, receive: Receive, send: Send) -> None:
    """Calls the tool, as no model of random weights does; with its result, it says it."""
    await read_body(seen, receive)
    asked = json.loads(seen.body)
    result = [message["content"] for message in asked["messages"] if message["role"] == "tool"]
    message = {"content": result[0]} if result else {"content": None, "tool_calls": [CALLED]}
    reason = "stop" if result else "tool_calls"
    base: dict[str, Any] = {"id": "chatcmpl-1", "created": 1, "model": "caller"}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    parts = [json.dumps({**base, "object": "chat.completion", "choices": [choice], "usage": USAGE})]
    if asked.get("stream"):
        function = CALLED["function"]
        begun = {**CALLED, "index": 0, "function": {"name": "add", "arguments": ""}}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "tool_calls": [begun]}]
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": one}}]} for one in function["arguments"]
        ]
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}]
        chunks += [{"choices": [], "usage": USAGE}]
        whole = [json.dumps({**base, "object": "chat.completion.chunk"} | chunk) for chunk in chunks]
        parts = [f"data: {chunk}\n\n" for chunk in [*whole, "[DONE]"]]
    kind = b"text/event-stream" if asked.get("stream") else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for part in parts:
        await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def calling(served: World) -> AsyncIterator[World]:
    """The model `caller`."""
    server = ModelServer("caller", calls)
    async with model_servers(server):
        await served.happen(
            route(4, "caller", deployment_id=4),
            requested(41, name="caller", deployment_id=4, backend="x-custom"),
            running(41, deployment_id=4, port=server.port),
        )
        yield served


async def test_anthropic_calls_tools_of_a_server_that_knows_chats_alone(calling: World) -> None:
    asked = {"model": "caller", "messages": HELLO, "max_tokens": 90, "tools": [ADD]}
    async with anthropic_client(calling) as client:
        whole = await client.messages.create(**asked, tool_choice={"type": "any"})
        async with client.messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()
        for message in (whole, streamed):
            [call] = message.content
            assert (call.type, call.name, call.input) == ("tool_use", "add", {"a": 1, "b": 1})
            assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 4)
        turns = [
            *HELLO,
            {"role": "assistant", "content": [call.model_dump()]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "2"}]},
        ]
        after = await client.messages.create(**{**asked, "messages": turns})
        assert [block.text for block in after.content] == ["2"]


async def test_openai_calls_tools(calling: World) -> None:
    function = {"name": "add", "description": ADD["description"], "parameters": ADD["input_schema"]}
    asked = {"messages": HELLO, "max_tokens": 90, "tools": [{"type": "function", "function": function}]}
    async with openai_client(calling) as client:
        whole = await client.chat.completions.create(model="caller", **asked)
        [call] = whole.choices[0].message.tool_calls
        assert json.loads(call.function.arguments) == {"a": 1, "b": 1}
        stream = await client.chat.completions.create(model="caller", **asked, stream=True)
        parts = [
            part.function.arguments or ""
            async for event in stream
            for choice in event.choices
            for part in choice.delta.tool_calls or ()
        ]
        assert json.loads("".join(parts)) == {"a": 1, "b": 1}
        offered = await client.chat.completions.create(model="tiny", **asked)
        assert offered.usage.completion_tokens > 0


async def test_openai_embeds(served: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("embeddings")
    async with llama_cpp_server(directory, "--embedding", "--pooling", "mean") as port:
        await served.happen(route(3, "vectors", deployment_id=3), running(31, deployment_id=3, port=port))
        async with openai_client(served) as client:
            found = await client.embeddings.create(model="vectors", input=["hello", "goodbye"])
            assert len(found.data) == 2
            assert len(found.data[0].embedding) == len(found.data[1].embedding) > 8
            assert found.usage.prompt_tokens > 0


async def test_langchain_chats(served: World) -> None:
    langchain_openai = pytest.importorskip("langchain_openai")
    model = langchain_openai.ChatOpenAI(
        model="tiny", base_url=f"http://127.0.0.1:{served.port}/v1", api_key=API_KEY.text(), max_tokens=8
    )
    assert (await model.ainvoke("hello")).usage_metadata["output_tokens"] > 0
    assert [chunk async for chunk in model.astream("hello")]


async def test_litellm_chats(served: World) -> None:
    litellm = pytest.importorskip("litellm")
    answer = await litellm.acompletion(
        model="openai/tiny",
        api_base=f"http://127.0.0.1:{served.port}/v1",
        api_key=API_KEY.text(),
        messages=HELLO,
        max_tokens=8,
    )
    assert answer.usage.completion_tokens > 0
