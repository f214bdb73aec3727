"""Chat completions as Anthropic's messages: whole answers, errors and streams.

https://docs.claude.com/en/api/messages and https://docs.claude.com/en/docs/build-with-claude/streaming
"""

import json
import re
from typing import Any

Json = dict[str, Any]

REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
"""https://docs.claude.com/en/api/errors; anything else is an api_error."""
EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r").search
LONGEST_EVENT = 16 * 1024 * 1024


class Whole:
    """An answer that is no stream: nothing of it passes before its end."""

    def __init__(self, status: int, model: str, request_id: str, *, counting: bool) -> None:
        self._status = status
        self._model = model
        self._request_id = request_id
        self._counting = counting
        self._parts: list[bytes] = []

    def passes(self, data: bytes, done: bool) -> bytes:
        self._parts.append(data)
        return self._translated(b"".join(self._parts)) if done else b""

    def _translated(self, text: bytes) -> bytes:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if self._status >= 400 or not isinstance(said, dict) or not said.get("choices"):
            return json.dumps(self._error(said, text)).encode()
        if self._counting:
            return json.dumps({"input_tokens": (said.get("usage") or {}).get("prompt_tokens", 0)}).encode()
        return json.dumps(_message(said, self._model, self._request_id)).encode()

    def _error(self, said: Any, text: bytes) -> Json:
        error = said.get("error", said) if isinstance(said, dict) else None
        message = error.get("message") if isinstance(error, dict) else None
        return {
            "type": "error",
            "error": {
                "type": KINDS.get(self._status, "api_error"),
                "message": message
                or text[:1000].decode(errors="replace")
                or "The model server says nothing.",
            },
            "request_id": self._request_id,
        }


def _message(said: Json, model: str, request_id: str) -> Json:
    choice = said["choices"][0]
    message = choice.get("message") or {}
    content: list[Json] = []
    thinking = message.get("reasoning_content") or message.get("reasoning")
    if thinking:
        content.append({"type": "thinking", "thinking": thinking, "signature": ""})
    if message.get("content"):
        content.append({"type": "text", "text": message["content"]})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        content.append(
            {
                "type": "tool_use",
                "id": call.get("id") or "",
                "name": function.get("name") or "",
                "input": _arguments(function.get("arguments")),
            }
        )
    return {
        "id": f"msg_{said.get('id') or request_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        **_stopped(choice),
        "usage": _usage(said.get("usage")),
    }


def _arguments(text: Any) -> Any:
    try:
        parsed = json.loads(text or "{}")
    except (ValueError, TypeError, RecursionError):
        return {"arguments": text}
    return parsed if isinstance(parsed, dict) else {"arguments": parsed}


def _stopped(choice: Json) -> Json:
    """vLLM tells the sequence that it stopped at in the choice's `stop_reason`."""
    sequence = choice.get("stop_reason")
    if choice.get("finish_reason") == "stop" and isinstance(sequence, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    return {"stop_reason": REASONS.get(choice.get("finish_reason") or "", "end_turn"), "stop_sequence": None}


def _usage(said: Any) -> Json:
    usage = said if isinstance(said, dict) else {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": (usage.get("prompt_tokens") or 0) - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.get("completion_tokens") or 0,
    }


class Stream:
    """A stream of events: each of the one protocol becomes some of the other. A block of the message is
    open at a time: text, thoughts, or a call of a tool."""

    def __init__(self, model: str, request_id: str) -> None:
        self._model = model
        self._request_id = request_id
        self._held = b""
        self._out: list[bytes] = []
        self._index = -1
        """Of the latest block."""
        self._open: tuple[str, int] | None = None
        """Its type, and a call's own index."""
        self._stopped: Json = {"stop_reason": "end_turn", "stop_sequence": None}
        self._usage: Json = _usage(None)
        self._begun = self._ended = False

    def passes(self, data: bytes, done: bool) -> bytes:
        self._held += data
        while (end := EVENT_END(self._held)) is not None:
            event, self._held = self._held[: end.start()], self._held[end.end() :]
            self._event(event)
        if len(self._held) > LONGEST_EVENT:
            self._held = b""
        if done:
            self._event(self._held)
            self._end()
        out, self._out = b"".join(self._out), []
        return out

    def _event(self, event: bytes) -> None:
        lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
        text = b"\n".join(lines)
        if not text or self._ended:
            return
        if text == b"[DONE]":
            self._end()
            return
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(said, dict):
            self._chunk(said)

    def _chunk(self, said: Json) -> None:
        error = said.get("error")
        if error:
            message = error.get("message") if isinstance(error, dict) else str(error)
            self._say("error", {"error": {"type": "api_error", "message": message}})
            self._ended = True
            return
        self._begin()
        if said.get("usage"):
            self._usage = _usage(said["usage"])
        for choice in said.get("choices") or ():
            self._delta(choice.get("delta") or {})
            if choice.get("finish_reason"):
                self._stopped = _stopped(choice)

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        message: Json = {
            "id": f"msg_{self._request_id}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(None),
        }
        self._say("message_start", {"message": message})

    def _delta(self, delta: Json) -> None:
        thinking = delta.get("reasoning_content") or delta.get("reasoning")
        if thinking:
            self._block("thinking", 0, {"type": "thinking", "thinking": "", "signature": ""})
            self._say_delta({"type": "thinking_delta", "thinking": thinking})
        if delta.get("content"):
            self._block("text", 0, {"type": "text", "text": ""})
            self._say_delta({"type": "text_delta", "text": delta["content"]})
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            block = {"type": "tool_use", "id": call.get("id") or "", "name": function.get("name") or ""}
            self._block("tool_use", call.get("index") or 0, {**block, "input": {}})
            if function.get("arguments"):
                self._say_delta({"type": "input_json_delta", "partial_json": function["arguments"]})

    def _block(self, kind: str, call: int, block: Json) -> None:
        """Opens a block, if this is not the one that is open."""
        if self._open == (kind, call):
            return
        self._close()
        self._index += 1
        self._open = (kind, call)
        self._say("content_block_start", {"index": self._index, "content_block": block})

    def _close(self) -> None:
        if self._open is not None:
            self._open = None
            self._say("content_block_stop", {"index": self._index})

    def _end(self) -> None:
        if self._ended:
            return
        self._begin()
        self._close()
        self._ended = True
        self._say("message_delta", {"delta": self._stopped, "usage": self._usage})
        self._say("message_stop", {})

    def _say_delta(self, delta: Json) -> None:
        self._say("content_block_delta", {"index": self._index, "delta": delta})

    def _say(self, kind: str, fields: Json) -> None:
        text = json.dumps({"type": kind, **fields}, ensure_ascii=False)
        self._out.append(f"event: {kind}\ndata: {text}\n\n".encode(errors="replace"))
