"""Unmodified client libraries against a real llama.cpp server through the gateway: `make test-clients`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from modelyard_gateway_facts import route, running, stopping
from modelyard_gateway_world import API_KEY, TEST_SETTINGS, World, gateway_world
from served_llama_cpp import llama_cpp_server
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


async def test_anthropic_speaks_with_a_server_that_speaks_it_too(served: World) -> None:
    base_url = f"http://127.0.0.1:{served.port}"
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key=API_KEY.text()) as client:
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
