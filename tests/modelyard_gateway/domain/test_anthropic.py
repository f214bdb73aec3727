"""Anthropic's messages as chat completions, and back."""

import json
from typing import Any

import pytest
from modelyard_gateway.domain.anthropic_answer import Stream, Whole
from modelyard_gateway.domain.anthropic_request import chat_of
from modelyard_gateway.domain.refusals import Refusal

Json = dict[str, Any]
HELLO = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


def chat(asked: Json, *, counting: bool = False, outside: bool = False) -> Json:
    found: Json = json.loads(
        chat_of(json.dumps(asked).encode(), "served", counting=counting, outside=outside)
    )
    return found


def test_a_question_is_asked_with_what_both_protocols_know() -> None:
    asked = {
        **HELLO,
        "system": "be brief",
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 3,
        "stop_sequences": ["x"],
    }
    assert chat({**asked, "metadata": {"user_id": "u"}}) == {
        "model": "served",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
        "max_tokens": 9,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 3,
        "stop": ["x"],
        "user": "u",
    }
    assert "top_k" not in chat(asked, outside=True)
    streamed = chat({**HELLO, "stream": True})
    assert (streamed["stream"], streamed["stream_options"]) == (True, {"include_usage": True})
    counted = chat({**HELLO, "stream": True}, counting=True)
    assert (counted["max_tokens"], "stream" in counted) == (1, False)


def test_tools_are_called_and_answer() -> None:
    tool = {"name": "add", "description": "adds", "input_schema": {"type": "object", "properties": {}}}
    turns = [
        {"role": "user", "content": "1+1?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "let me see"},
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "2"}]},
                {"type": "text", "text": "go on"},
            ],
        },
    ]
    choice = {"type": "tool", "name": "add", "disable_parallel_tool_use": True}
    said = chat({**HELLO, "messages": turns, "tools": [tool], "tool_choice": choice})
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert said["messages"] == [
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "let me see", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "user", "content": "go on"},
    ]
    function = {"name": "add", "description": "adds", "parameters": tool["input_schema"]}
    assert said["tools"] == [{"type": "function", "function": function}]
    assert said["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert said["parallel_tool_calls"] is False


def test_images_are_shown() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}]
    [message] = chat({**HELLO, "messages": [{"role": "user", "content": blocks}]})["messages"]
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "what is it?"},
    ]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages.0.content.0"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"name": "a"}], "tool_choice": {"type": "some"}}, "tool_choice.type"),
    ],
)
def test_what_cannot_be_said_is_refused_by_the_name_of_its_field(fields: Json, named: str) -> None:
    with pytest.raises(Refusal) as refused:
        chat({**HELLO, **fields})
    assert (refused.value.status, refused.value.param) == (400, named)


def answered(said: Any, status: int = 200, *, counting: bool = False) -> Json:
    whole = Whole(status, "m", "r1", counting=counting)
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    assert whole.passes(text[:7], False) == b""
    found: Json = json.loads(whole.passes(text[7:], True))
    return found


USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}}


def test_an_answer_becomes_a_message() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": "so", "reasoning_content": "hm", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    assert answered({"id": "x", "choices": [choice], "usage": USAGE}) == {
        "id": "msg_x",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "so"},
            {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 6,
            "output_tokens": 4,
        },
    }
    assert answered({"choices": [choice], "usage": USAGE}, counting=True) == {"input_tokens": 10}


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "invalid_request_error"), (429, "rate_limit_error"), (500, "api_error")]
)
def test_an_error_has_anthropics_shape(status: int, kind: str) -> None:
    error = answered({"error": {"message": "too long"}}, status)
    assert error == {
        "type": "error",
        "error": {"type": kind, "message": "too long"},
        "request_id": "r1",
    }
    assert answered(b"<html>busy</html>", status)["error"]["message"] == "<html>busy</html>"


def streamed(chunks: list[Json], size: int) -> list[Json]:
    text = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    stream = Stream("m", "r1")
    out = b"".join(stream.passes(text[at : at + size], False) for at in range(0, len(text), size))
    out += stream.passes(b"", True)
    events = [event.split("\n") for event in out.decode().split("\n\n") if event]
    parsed: list[Json] = [json.loads(data.removeprefix("data: ")) for _, data in events]
    assert [name.removeprefix("event: ") for name, _ in events] == [event["type"] for event in parsed]
    return parsed


def delta(**fields: Any) -> Json:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


@pytest.mark.parametrize("size", [1, 17, 100_000])
def test_a_stream_becomes_a_stream_whatever_its_pieces_are(size: int) -> None:
    first = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}}
    second = {"index": 1, "id": "c2", "function": {"name": "add", "arguments": "{}"}}
    events = streamed(
        [
            delta(role="assistant", content=""),
            delta(reasoning_content="hm"),
            delta(content="h\u00e9"),
            delta(content="llo"),
            delta(tool_calls=[first]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a"'}}]),
            delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
            delta(tool_calls=[second]),
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
            {"choices": [], "usage": USAGE},
        ],
        size,
    )
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    twice = ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"]
    expected = ["message_start", *block, *twice, *twice, *block, "message_delta", "message_stop"]
    assert [event["type"] for event in events] == expected
    starts = [event for event in events if event["type"] == "content_block_start"]
    assert [event["index"] for event in starts] == [0, 1, 2, 3]
    assert [event["content_block"]["type"] for event in starts] == [
        "thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    parts = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(part.get("text", "") for part in parts) == "h\u00e9llo"
    assert "".join(part.get("partial_json", "") for part in parts) == '{"a": 1}{}'
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == 4


def test_an_error_amid_a_stream_is_one_there_too() -> None:
    events = streamed([delta(content="a"), {"error": {"message": "out of memory"}}], 9)
    assert events[-1] == {"type": "error", "error": {"type": "api_error", "message": "out of memory"}}
