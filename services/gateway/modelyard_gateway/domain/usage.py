"""Sees the `usage` of an answer in its bytes as they pass; nothing else of it is decoded."""

import json
import re
from typing import Any

MARK = b'"usage"'
OBJECT = re.compile(rb'"usage"\s*:\s*(?=\{)')
LONGEST = 64 * 1024
DECODER = json.JSONDecoder()


class UsageSeen:
    """Of a stream, the last event with a usage counts; Anthropic's says it in two parts, which are merged."""

    __slots__ = ("_carried", "_found")

    def __init__(self) -> None:
        self._carried = b""
        """The end of what passed, as long as it may be the beginning of a usage."""
        self._found: list[bytes] = []

    def pass_by(self, data: bytes) -> None:
        if self._carried:
            data = self._carried + data
        at = data.rfind(MARK)
        if at >= 0 and OBJECT.match(data, at) is not None:
            self._found.append(data[at : at + LONGEST])
            if len(self._found) > 2:
                del self._found[1]
        if data.endswith(b"\n"):
            self._carried = b""
        elif at >= 0:
            self._carried = data[at : at + LONGEST]
        else:
            self._carried = data[-len(MARK) :]

    def usage(self) -> dict[str, Any] | None:
        merged: dict[str, Any] = {}
        for text in self._found:
            found = OBJECT.match(text)
            try:
                usage, _ = DECODER.raw_decode(text.decode(errors="replace"), found.end() if found else 0)
            except (ValueError, RecursionError):
                continue
            if isinstance(usage, dict):
                merged.update(usage)
        return merged or None
