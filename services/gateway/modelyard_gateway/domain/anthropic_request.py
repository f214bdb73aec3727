"""Anthropic's messages as chat completions, for model servers that do not speak Anthropic's protocol.

https://docs.claude.com/en/api/messages and https://platform.openai.com/docs/api-reference/chat/create
"""

import json
from typing import Any

from modelyard_backends import protocols

from modelyard_gateway.domain.refusals import Refusal, bad_request

Json = dict[str, Any]

MESSAGES = protocols.MESSAGES.encode()
COUNT_TOKENS = protocols.COUNT_TOKENS.encode()
CHAT = b"/v1/chat/completions"

ALIKE = {"max_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p", "stop_sequences": "stop"}
CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def chat_of(body: bytes, model: str, *, counting: bool, outside: bool) -> bytes:
    """The body for the server that knows the model by that name. `counting`: no answer is wanted but how
    many tokens the question has. `outside`: the server is a provider's, which takes OpenAI's fields alone.

    Raises `Refusal` (400) naming the field that cannot be said in the other protocol.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The request body is not valid JSON: {error}", "invalid_json") from error
    if not isinstance(asked, dict):
        raise bad_request("The request body must be a JSON object.", "invalid_json")
    chat: Json = {"model": model, "messages": _messages(asked)}
    chat |= {theirs: asked[ours] for ours, theirs in ALIKE.items() if asked.get(ours) is not None}
    if asked.get("top_k") is not None and not outside:
        chat["top_k"] = asked["top_k"]
    if asked.get("tools"):
        chat["tools"] = [_tool(tool, place) for place, tool in enumerate(_list(asked["tools"], "tools"))]
        chat |= _choice(asked.get("tool_choice"))
    user = asked.get("metadata")
    if isinstance(user, dict) and isinstance(user.get("user_id"), str):
        chat["user"] = user["user_id"]
    if counting:
        chat["max_tokens"] = 1
    elif asked.get("stream") is True:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(chat, ensure_ascii=False).encode(errors="replace")


def _messages(asked: Json) -> list[Json]:
    said: list[Json] = []
    system = asked.get("system")
    if system:
        said.append({"role": "system", "content": _plain(_blocks(system, "system"), "system")})
    for place, message in enumerate(_list(asked.get("messages"), "messages")):
        where = f"messages.{place}"
        if not isinstance(message, dict):
            raise _bad(where, "must be an object")
        blocks = _blocks(message.get("content"), f"{where}.content")
        match message.get("role"):
            case "user":
                said += _of_user(blocks, f"{where}.content")
            case "assistant":
                said.append(_of_assistant(blocks, f"{where}.content"))
            case "system":
                said.append({"role": "system", "content": _plain(blocks, f"{where}.content")})
            case _:
                raise _bad(f"{where}.role", "must be 'user' or 'assistant'")
    return said


def _of_user(blocks: list[Json], where: str) -> list[Json]:
    """Results of tools are messages of their own, and come first."""
    said: list[Json] = []
    parts: list[Json] = []
    for place, block in enumerate(blocks):
        if block["type"] != "tool_result":
            parts.append(_part(block, f"{where}.{place}"))
            continue
        inner = _blocks(block.get("content") or "", f"{where}.{place}.content")
        shown = [_part(one, f"{where}.{place}.content") for one in inner]
        text = "\n".join(part["text"] for part in shown if part["type"] == "text")
        if block.get("is_error"):
            text = f"Error: {text}"
        said.append({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": text})
        parts += [part for part in shown if part["type"] != "text"]
    if parts:
        said.append({"role": "user", "content": _short(parts)})
    return said


def _of_assistant(blocks: list[Json], where: str) -> Json:
    """What it thought is not said again."""
    calls = [
        {
            "id": block.get("id"),
            "type": "function",
            "function": {"name": block.get("name"), "arguments": json.dumps(block.get("input") or {})},
        }
        for block in blocks
        if block["type"] == "tool_use"
    ]
    silent = ("tool_use", "thinking", "redacted_thinking")
    text = _plain([block for block in blocks if block["type"] not in silent], where)
    said: Json = {"role": "assistant", "content": text or None}
    return {**said, "tool_calls": calls} if calls else said


def _part(block: Json, where: str) -> Json:
    match block["type"]:
        case "text" if isinstance(block.get("text"), str):
            return {"type": "text", "text": block["text"]}
        case "image":
            return {"type": "image_url", "image_url": {"url": _image(block.get("source"), where)}}
        case "document" if isinstance(block.get("source"), dict) and block["source"].get("type") == "text":
            return {"type": "text", "text": str(block["source"].get("data", ""))}
        case kind:
            raise _bad(where, f"a block of the type {kind!r} is nothing that the model's server understands")


def _image(source: Any, where: str) -> str:
    match source:
        case {"type": "base64", "media_type": str(kind), "data": str(data)}:
            return f"data:{kind};base64,{data}"
        case {"type": "url", "url": str(url)}:
            return url
        case _:
            raise _bad(f"{where}.source", "must be of the type 'base64' or 'url'")


def _tool(tool: Any, place: int) -> Json:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise _bad(f"tools.{place}.name", "is needed")
    if tool.get("type") not in (None, "custom"):
        raise _bad(f"tools.{place}.type", f"{tool['type']!r} is a tool of Anthropic's own servers")
    function: Json = {"name": tool["name"], "parameters": tool.get("input_schema") or {"type": "object"}}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _choice(choice: Any) -> Json:
    if choice is None:
        return {}
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool":
        said: Json = {"tool_choice": {"type": "function", "function": {"name": choice.get("name")}}}
    elif kind in CHOICES:
        said = {"tool_choice": CHOICES[kind]}
    else:
        raise _bad("tool_choice.type", f"must be one of {', '.join(CHOICES)}, tool")
    return {**said, "parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else said


def _blocks(content: Any, where: str) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    blocks = _list(content, where)
    for place, block in enumerate(blocks):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise _bad(f"{where}.{place}", "must be a block with a type")
    return blocks


def _plain(blocks: list[Json], where: str) -> str:
    parts = [_part(block, f"{where}.{place}") for place, block in enumerate(blocks)]
    if any(part["type"] != "text" for part in parts):
        raise _bad(where, "must be text alone")
    return "\n".join(part["text"] for part in parts)


def _short(parts: list[Json]) -> Any:
    """One text as a string: servers without a chat template for parts take that, too."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _bad(where, "must be a list")
    return value


def _bad(where: str, why: str) -> Refusal:
    return bad_request(f"{where}: {why}.", "invalid_messages", param=where)
