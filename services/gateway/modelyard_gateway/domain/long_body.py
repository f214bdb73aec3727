"""Asks for the usage of a stream at the end of a body that is too long to wait for.

What is added must be counted in the length that is said before the body's end is known, so it is spaces
where the usage is not to be asked for: JSON may end with them (RFC 8259 section 2).
"""

import re

from modelyard_gateway.domain.model_name import QUOTE, STRUCTURE, string_end

ADDED = b',"stream_options":{"include_usage":true}'
FIELD = re.compile(rb'"(stream|stream_options)"\s*:\s*(true)?').match
LONGEST_FIELD = 64
"""Bytes from a name's quote to the end of its value."""
CLOSED = re.compile(rb"\}[ \t\r\n]*\Z").search


class Fields:
    """Whether the outermost object of a JSON text that comes bit by bit asks for a stream."""

    __slots__ = ("_carried", "_depth", "_in_string", "options", "stream")

    def __init__(self) -> None:
        self.stream = self.options = False
        """What its `stream` says; whether it has `stream_options`."""
        self._depth = 0
        self._in_string = False
        self._carried = b""

    def read(self, data: bytes | bytearray, done: bool) -> None:
        text, at = self._carried + data, 0
        self._carried = b""
        while True:
            if self._in_string:
                end = string_end(text, at)
                if end < 0:
                    self._carried = text[max(at, len(text.rstrip(b"\\"))) :]
                    return
                self._in_string, at = False, end
            token = STRUCTURE(text, at)
            if token is None:
                return
            at = token.end()
            if text[token.start()] != QUOTE:
                self._depth += 1 if token[0] in b"{[" else -1
            elif self._depth != 1:
                self._in_string = True
            elif not done and len(text) - token.start() < LONGEST_FIELD:
                self._carried = text[token.start() :]
                return
            else:
                self._in_string = True
                self._note(text, token.start())

    def _note(self, text: bytes, at: int) -> None:
        field = FIELD(text, at)
        if field is None:
            return
        if field[1] == b"stream":
            self.stream = field[2] is not None
        else:
            self.options = True


class AskedAtTheEnd:
    """The body as it goes to the instance, longer by `ADDED`."""

    __slots__ = ("_fields", "_held", "asked")

    def __init__(self) -> None:
        self.asked = False
        self._fields = Fields()
        self._held = b""

    def passes(self, data: bytes | bytearray, done: bool) -> bytes:
        """What goes on now: a brace that may be the last one waits."""
        self._fields.read(data, done)
        text = self._held + data
        closed = CLOSED(text)
        if not done:
            end = len(text) if closed is None else closed.start()
            text, self._held = text[:end], text[end:]
            return text
        self.asked = closed is not None and self._fields.stream and not self._fields.options
        if not self.asked or closed is None:
            return text + b" " * len(ADDED)
        return text[: closed.start()] + ADDED + text[closed.start() :]
