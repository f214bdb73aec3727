"""Where a message's body ends (RFC 9112 section 6), and its bytes without the framing.

`feed` takes what has come and gives the body's bytes in it, and what comes behind the body.
"""

import re
from functools import lru_cache


class Malformed(Exception):
    """The peer's framing breaks HTTP, so that nothing behind it can be trusted."""


CRLF = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n").match
PLAIN_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}").fullmatch
LONGEST_PLAIN = 17
"""With its CRLF."""
LONGEST_SIZE_LINE = 1024
LONGEST_TRAILERS = 16 * 1024


def chunk(data: bytes | bytearray, done: bool) -> bytes:
    """The next of a chunked body, which has no empty ones but the last (RFC 9112 section 7.1)."""
    if not data:
        return LAST_CHUNK if done else b""
    return b"".join((b"%x\r\n" % len(data), data, CRLF, LAST_CHUNK if done else b""))


@lru_cache(maxsize=4096)
def size_of(line: bytes) -> int:
    """Of a chunk; 0 if the line says anything but a plain hexadecimal number."""
    return int(line, 16) if PLAIN_SIZE(line) is not None else 0


class Unframed:
    __slots__ = ()

    def only(self, data: bytes) -> bytes:
        """It has no chunks."""
        return b""


class NoBody(Unframed):
    done = True

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        return b"", data


class Length(Unframed):
    """As many bytes as `Content-Length` said."""

    __slots__ = ("_left", "done")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        rest = b""
        if len(data) > self._left:
            data, rest = data[: self._left], data[self._left :]
        self._left -= len(data)
        self.done = self._left == 0
        return data, rest


class UntilClose(Unframed):
    done = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        return data, b""


class Chunked:
    """RFC 9112 section 7.1. Trailers are dropped; extensions are, too, or refused if `strict`: no client
    of ours sends them, and proxies that disagree about them are how requests get smuggled."""

    __slots__ = ("_left", "_line", "_strict", "_trailers", "done")

    def __init__(self, *, strict: bool) -> None:
        self.done = False
        self._strict = strict
        self._left = 0
        """Bytes of the current chunk that are to come, its closing CRLF included."""
        self._line = b""
        """The beginning of a line whose end is to come."""
        self._trailers = -1
        """Bytes of the trailer section so far; -1 before it."""

    def only(self, data: bytes) -> bytes:
        """What is in it, if it is one whole chunk and no more, as most servers send an event: the same bytes
        are the same chunk to whoever gets them next. Empty if it is anything else, which `feed` reads."""
        end = data.find(CRLF, 0, LONGEST_PLAIN)
        if end < 1 or self._left or self._line or self._trailers >= 0:
            return b""
        if end + size_of(data[:end]) + 4 != len(data) or not data.endswith(CRLF):
            return b""
        return data[end + 2 : -2]

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Raises `Malformed`."""
        if self._line:
            data, self._line = self._line + data, b""
        at, end = 0, len(data)
        out: list[bytes] = []
        while at < end and not self.done:
            if self._left:
                at = self._chunk(data, at, out)
            elif self._trailers >= 0:
                at = self._trailer(data, at)
            else:
                at = self._size(data, at)
        return (out[0] if len(out) == 1 else b"".join(out)), data[at:]

    def _size(self, data: bytes, at: int) -> int:
        found = SIZE_LINE(data, at)
        if found is not None:
            size, at = int(found[1], 16), found.end()
        else:
            end = self._line_end(data, at, LONGEST_SIZE_LINE)
            if end < 0:
                return len(data)
            digits = data[at:end].partition(b";")[0].rstrip(b" \t") + b"\r\n"
            found = None if self._strict else SIZE_LINE(digits)
            if found is None:
                raise Malformed("a chunk's size is no plain hexadecimal number")
            size, at = int(found[1], 16), end + 2
        if size:
            self._left = size + 2
        else:
            self._trailers = 0
        return at

    def _chunk(self, data: bytes, at: int, out: list[bytes]) -> int:
        end = at + self._left
        if end <= len(data):
            if self._left > 2:
                out.append(data[at : end - 2])
            closing = data[max(at, end - 2) : end]
            self._left = 0
        else:
            body_end = min(end - 2, len(data))
            if body_end > at:
                out.append(data[at:body_end])
            closing = data[max(at, body_end) :]
            self._left, end = end - len(data), len(data)
            if closing and closing != b"\r":
                raise Malformed("a chunk does not end with CRLF")
            return end
        if closing != b"\r\n"[-len(closing) :]:
            raise Malformed("a chunk does not end with CRLF")
        return end

    def _trailer(self, data: bytes, at: int) -> int:
        end = self._line_end(data, at, LONGEST_TRAILERS)
        if end < 0:
            return len(data)
        self._trailers += end - at
        if self._trailers > LONGEST_TRAILERS:
            raise Malformed("the trailers are too long")
        self.done = end == at
        return end + 2

    def _line_end(self, data: bytes, at: int, limit: int) -> int:
        """The place of the line's CRLF; -1 if it is still to come, and what is there of it is kept."""
        end = data.find(b"\r\n", at)
        line = data[at:].removesuffix(b"\r") if end < 0 else data[at:end]
        if len(line) > limit:
            raise Malformed("a line of the chunked framing is too long")
        if b"\n" in line or b"\r" in line:
            raise Malformed("a bare CR or LF in the chunked framing")
        if end < 0:
            self._line = data[at:]
        return end


Body = NoBody | Length | UntilClose | Chunked
NO_BODY = NoBody()
UNTIL_CLOSE = UntilClose()
