"""Sees the `usage` of an answer in its bytes as they pass; nothing else of it is decoded."""

import json
import re
from collections.abc import Callable
from typing import Any

MARK = b'"usage"'
OBJECT = re.compile(rb'"usage"\s*:\s*(?=\{)').match
LONGEST = 64 * 1024
SCAN: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def usage_in(data: bytes, at: int = -1) -> dict[str, Any] | None:
    """The usage at a place of an answer; by default the last one."""
    at = data.rfind(MARK) if at < 0 else at
    found = OBJECT(data, at) if at >= 0 else None
    if found is None:
        return None
    start = found.end()
    try:
        usage, _ = SCAN(data[start : start + LONGEST].decode("utf-8", "replace"), 0)
    except (ValueError, StopIteration, RecursionError):
        return None
    return usage if isinstance(usage, dict) else None


class UsageSeen:
    """Of a stream, the last event with a usage counts; Anthropic's says it in two parts, which are merged."""

    __slots__ = ("_carried", "_found", "events")

    def __init__(self) -> None:
        self.events = 0
        self._carried = b""
        """The end of what passed, as long as it may be the beginning of a usage."""
        self._found: list[bytes] = []

    def pass_by(self, data: bytes) -> None:
        self.events += data.count(b"data:")
        if self._carried:
            data = self._carried + data
        at = data.rfind(MARK)
        if at >= 0 and OBJECT(data, at) is not None:
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
            merged.update(usage_in(text, 0) or {})
        return merged or None
