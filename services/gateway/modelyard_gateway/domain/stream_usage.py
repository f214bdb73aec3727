"""Asks for the usage of a stream on behalf of clients that did not, and takes it out of what they get.

https://platform.openai.com/docs/api-reference/chat/create: with `stream_options.include_usage`, one more
event comes before `[DONE]`, with the usage and no choices.
"""

import json
import re

from modelyard_gateway.domain.usage import SCAN

PATHS = frozenset({b"/v1/chat/completions", b"/v1/completions"})
"""Their streams say no usage unless asked; all others do."""
ASKING = b'"stream_options":{"include_usage":true},'
OPTIONS = re.compile(rb'"stream_options"\s*:\s*').finditer

SAYS_USAGE = re.compile(rb'"usage"\s*:\s*\{').search
NO_CHOICE = re.compile(rb'"choices"\s*:\s*\[\s*\]').search
ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
EVENTS = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)|.+", re.DOTALL).findall
LAST_END = re.compile(rb".*(?:\r\n\r\n|\n\n|\r\r)", re.DOTALL).match
LONGEST_EVENT = 64 * 1024


def asking_for_usage(body: bytes) -> bytes | None:
    """The body that asks for the usage as well, all else byte for byte as it was; None if it asks for no
    stream, or for its usage already."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or parsed.get("stream") is not True:
        return None
    said = list(OPTIONS(body))
    options = parsed.get("stream_options") or {}
    if not said:
        at = body.index(b"{") + 1
        return b"%b%b%b" % (body[:at], ASKING, body[at:])
    if len(said) > 1 or not isinstance(options, dict) or options.get("include_usage"):
        return None
    rest = body[said[0].end() :].decode()
    _, end = SCAN(rest, 0)
    asking = json.dumps({**options, "include_usage": True})
    return b"%b%b%b" % (body[: said[0].end()], asking.encode(), rest[end:].encode())


class UsageHidden:
    """A stream without the event of its usage. What is not yet a whole event waits for its end."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def passes(self, data: bytes, done: bool) -> bytes:
        """What the client gets of it now."""
        if self._held:
            data, self._held = self._held + data, b""
        if not done and not data.endswith(ENDS) and len(data) < LONGEST_EVENT:
            whole = LAST_END(data)
            end = 0 if whole is None else whole.end()
            data, self._held = data[:end], data[end:]
        if b'"usage"' not in data or SAYS_USAGE(data) is None:
            return data
        return b"".join(event for event in EVENTS(data) if not _is_usage(event))


def _is_usage(event: bytes) -> bool:
    return SAYS_USAGE(event) is not None and NO_CHOICE(event) is not None
