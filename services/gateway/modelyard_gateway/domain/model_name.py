"""Finds the `model` that a body asks for in its first kilobytes, without decoding the rest."""

import json
import re
from typing import NamedTuple

from modelyard_gateway.domain.refusals import Refusal, bad_request, missing_model

FIRST = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"model"[ \t\r\n]*:[ \t\r\n]*"([^"\\\x00-\x1f]+)"').match
SPACES = re.compile(rb"[ \t\r\n]*").match
STRUCTURE = re.compile(rb'["{}\[\]]').search
MULTIPART = re.compile(rb'multipart/form-data\s*;.*?boundary=(?:"([^"]{1,70})"|([^\s;,]{1,70}))', re.I).match
FIELD_NAME = re.compile(rb'content-disposition:[^\r\n]*[; ]name="?model"?[\s;\r]', re.IGNORECASE).search
QUOTE, BACKSLASH, COLON = b'"\\:'


class Found(NamedTuple):
    """`start` and `end` hold the place of the name in the body, in JSON with its quotes."""

    name: str
    start: int
    end: int


class JsonModel:
    """Looks for `model` in the outermost object of a JSON text that comes bit by bit."""

    __slots__ = ("_at", "_depth", "_string_at")

    def __init__(self) -> None:
        self._at = 0
        self._depth = 0
        self._string_at = -1
        """Where the string begins whose end is still to come."""

    def find(self, text: bytes | bytearray) -> Found | None:
        """`text` is the body so far, from its beginning. Raises `Refusal` (400) if `model` is no name."""
        return self._scan(text)

    def named_twice(self, text: bytes | bytearray, found: Found) -> bool:
        """True if what is at hand of the body behind its `model` names another one; parsers differ about
        which of the two counts."""
        if text.find(b'"model"', found.end) < 0 and text.find(b"\\u006", found.end) < 0:
            return False
        rest = JsonModel()
        rest._at, rest._depth = found.end, 1
        try:
            again = rest._scan(text)
        except Refusal:
            return True
        return again is not None and again.name != found.name

    def _scan(self, text: bytes | bytearray) -> Found | None:
        while True:
            if self._string_at < 0:
                token = STRUCTURE(text, self._at)
                if token is None:
                    self._at = len(text)
                    return None
                self._at = token.end()
                if text[token.start()] != QUOTE:
                    self._depth += 1 if token[0] in b"{[" else -1
                    continue
                self._string_at = token.start()
            end = string_end(text, self._at)
            if end < 0:
                self._at = len(text)
                return None
            found = self._after_string(text, end)
            if found is not None or self._string_at >= 0:
                return found

    def _after_string(self, text: bytes | bytearray, end: int) -> Found | None:
        """What a string that ends before `end` means; it stays the current one if more must be read."""
        if self._depth == 1 and _is_model(text, self._string_at, end):
            colon = _skip_space(text, end)
            if colon == len(text):
                self._at = end - 1
                return None
            if text[colon] == COLON:
                start = _skip_space(text, colon + 1)
                value_end = string_end(text, start + 1) if text[start : start + 1] == b'"' else start
                if start == len(text) or value_end < 0:
                    self._at = end - 1
                    return None
                return _named(text, start, value_end)
        self._string_at = -1
        self._at = end
        return None


class MultipartModel:
    """Looks for the field `model` of a form (RFC 7578)."""

    __slots__ = ("_at", "_boundary")

    def __init__(self, boundary: bytes) -> None:
        self._boundary = b"--" + boundary
        self._at = 0

    def named_twice(self, text: bytes | bytearray, found: Found) -> bool:
        return False

    def find(self, text: bytes | bytearray) -> Found | None:
        while True:
            start = text.find(self._boundary, self._at)
            head_end = text.find(b"\r\n\r\n", start) if start >= 0 else -1
            if head_end < 0:
                self._at = start if start >= 0 else max(0, len(text) - len(self._boundary))
                return None
            if FIELD_NAME(text, start + len(self._boundary), head_end + 2) is None:
                self._at = head_end
                continue
            end = text.find(b"\r\n" + self._boundary, head_end + 4)
            if end < 0:
                self._at = start
                return None
            name = bytes(text[head_end + 4 : end]).decode(errors="replace").strip()
            if not name:
                raise missing_model("The form's field 'model' is empty.")
            return Found(name, head_end + 4, end)


Scan = JsonModel | MultipartModel


def first_model(body: bytes) -> Found | None:
    """The model of a whole JSON body that begins with it, as most do, and names no other."""
    first = FIRST(body)
    if first is None:
        return None
    start, end = first.span(1)
    if body.find(b'"model"', end) >= 0 or b"\\u006" in body:
        return None
    try:
        return Found(body[start:end].decode(), start - 1, end + 1)
    except ValueError:
        return None


def asks_for_stream(body: bytes | bytearray | None) -> bool:
    """True if a whole JSON body says `"stream": true`."""
    if body is None or b'"stream"' not in body:
        return False
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict) and parsed.get("stream") is True


def renamed(body: bytes, found: Found, name: str, beside: bytes = b"") -> bytes:
    """The body with another model, all else byte for byte as it was. `beside` is added behind the name, in
    JSON only."""
    quoted = body[found.start : found.start + 1] == b'"'
    literal = json.dumps(name).encode() + beside if quoted else name.encode()
    return b"%b%b%b" % (body[: found.start], literal, body[found.end :])


class Echo(NamedTuple):
    """A model's name in an answer, in the two ways that servers write JSON, and as it is to be."""

    tight: bytes
    loose: bytes
    tight_now: bytes
    loose_now: bytes

    def put(self, text: bytes) -> bytes:
        """Within strings quotes are escaped, so that nothing but the field is met."""
        if self.tight in text:
            return text.replace(self.tight, self.tight_now)
        return text.replace(self.loose, self.loose_now)


def echo_of(served: str, asked: str) -> Echo:
    was, now = json.dumps(served).encode(), json.dumps(asked).encode()
    return Echo(b'"model":' + was, b'"model": ' + was, b'"model":' + now, b'"model": ' + now)


def scan_for(content_type: bytes | None) -> Scan:
    if content_type is None or content_type == b"application/json":
        return JsonModel()
    form = MULTIPART(content_type)
    return JsonModel() if form is None else MultipartModel(form[1] or form[2])


def missing_in(body: bytes, scan: Scan) -> Refusal:
    """Why no model was found in a body that is whole."""
    if isinstance(scan, MultipartModel):
        return missing_model("The form has no field 'model'.")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        return bad_request(f"The request body is not valid JSON: {error}", "invalid_json")
    if not isinstance(parsed, dict):
        return bad_request("The request body must be a JSON object.", "invalid_json")
    return missing_model("The request body has no 'model'.")


def _named(text: bytes | bytearray, start: int, end: int) -> Found:
    literal = text[start:end]
    try:
        name = json.loads(literal) if b"\\" in literal else literal[1:-1].decode()
    except ValueError:
        name = None
    if not isinstance(name, str) or not name:
        raise missing_model("'model' must be the name of a model, as a string.")
    return Found(name, start, end)


def _is_model(text: bytes | bytearray, start: int, end: int) -> bool:
    """True for `"model"`, in whatever escapes."""
    length = end - start
    if length == 7:
        return text[start:end] == b'"model"'
    if not 7 < length <= 32 or b"\\u" not in text[start:end]:
        return False
    try:
        return bool(json.loads(text[start:end]) == "model")
    except ValueError:
        return False


def _skip_space(text: bytes | bytearray, at: int) -> int:
    found = SPACES(text, at)
    return at if found is None else found.end()


def string_end(text: bytes | bytearray, at: int) -> int:
    """The place behind the quote that ends a string whose inside holds `at`; -1 if it is still to come."""
    while True:
        quote = text.find(b'"', at)
        if quote < 0:
            return -1
        before = quote
        while before and text[before - 1] == BACKSLASH:
            before -= 1
        if (quote - before) % 2 == 0:
            return quote + 1
        at = quote + 1
