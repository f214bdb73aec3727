"""The head of an answer: parsed strictly, and sorted into what crosses the gateway."""

from copy import copy
from http import HTTPStatus

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from modelyard_gateway.domain.framing import UNTIL_CLOSE, Body, Chunked, Length, Malformed
from modelyard_gateway.domain.headers import (
    FROM_PROVIDERS,
    INTERNAL_PREFIXES,
    STAYS_UPSTREAM,
    only,
    tokens,
    without_named,
)

HEAD_END = b"\r\n\r\n"
STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("latin-1") for status in HTTPStatus
}
BODILESS = frozenset({204, 304})


class ResponseHead:
    """Shared by all answers that say the same: never changed once it is made."""

    __slots__ = (
        "chunked", "closes", "event_stream", "fields", "kept", "length", "message", "no_body", "start",
        "status",
    )  # fmt: skip

    start: bytes
    """The line and the header lines for the client."""
    message: bytes
    """The same, with the body's length if it is known."""

    def __init__(self) -> None:
        self.status = 0
        self.no_body = False
        """Whatever its length says (RFC 9110 section 6.4.1)."""
        self.fields: dict[bytes, bytes] = {}
        self.kept: list[bytes] = []
        self.length = -1
        """Of the body; -1 if none is said."""
        self.chunked = False
        self.closes = False
        self.event_stream = False

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower in STAYS_UPSTREAM:
            if lower in self.fields:
                value = self.fields[lower] + b"," + value
            self.fields[lower] = value
        elif not lower.startswith(INTERNAL_PREFIXES):
            if lower == b"content-type":
                self.event_stream = value.lower().startswith(b"text/event-stream")
            self.kept.append(b"%b: %b\r\n" % (name, value))

    def with_length(self, length: int) -> "ResponseHead":
        """The same head with another length."""
        head = copy(self)
        head.length = length
        head.message = b"%bContent-Length: %d\r\n" % (self.start, length)
        return head

    def from_provider(self) -> "ResponseHead":
        """Without what a provider tells of its own account."""
        head = copy(self)
        head.start = head.message = status_line(self.status) + only(self.kept, FROM_PROVIDERS)
        return head if self.length < 0 else head.with_length(self.length)

    def rewritten(self) -> "ResponseHead":
        """Of an answer whose body becomes another one: events stay events, all else becomes JSON."""
        head = copy(self)
        head.length = -1
        kind = b"text/event-stream" if self.event_stream else b"application/json"
        lines = b"Content-Type: %b\r\n%b" % (kind, only(self.kept, {b"retry-after", b"cache-control"}))
        head.start = head.message = status_line(self.status) + lines
        return head

    def bodiless(self, method: bytes) -> bool:
        return self.no_body or method == b"HEAD"

    def body(self) -> Body:
        """RFC 9112 section 6.3."""
        if self.length >= 0:
            return Length(self.length)
        return Chunked(strict=False) if self.chunked else UNTIL_CLOSE


def parse_response(text: bytes) -> ResponseHead:
    """`text` ends with its empty line. Raises `Malformed`."""
    head = ResponseHead()
    parser = HttpResponseParser(head)
    try:
        parser.feed_data(text)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise Malformed(str(error)) from error
    head.status = parser.get_status_code()
    head.no_body = head.status < 200 or head.status in BODILESS
    coding = head.fields.get(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise Malformed(f"the transfer coding {coding.decode('latin-1')} is unknown")
    connection = head.fields.get(b"connection")
    head.start = head.message = status_line(head.status) + without_named(head.kept, connection)
    head.chunked = coding is not None
    head.closes = b"close" in tokens(connection) or not text.startswith(b"HTTP/1.1")
    length = head.fields.get(b"content-length")
    return head if length is None else head.with_length(int(length))


def status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
