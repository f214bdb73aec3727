"""The heads of requests and responses: parsed strictly, and sorted into what crosses the gateway.

llhttp parses, with none of its lenient flags: it refuses bare CR and LF, folded lines, white space
before a colon, control characters, conflicting and repeated lengths. What it lets pass and RFC 9112
does not, or what no client of ours needs, is refused here.
"""

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from modelyard_gateway.domain.framing import NO_BODY, UNTIL_CLOSE, Body, Chunked, Length, Malformed
from modelyard_gateway.domain.refusals import Refusal, bad_request

HEAD_END = b"\r\n\r\n"

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 section 7.6.1; and whatever `Connection` names besides."""

ENDS_HERE = HOP_BY_HOP | {
    b"authorization",
    b"content-length",
    b"cookie",
    b"expect",
    b"host",
    b"x-api-key",
    b"x-request-id",
}
"""Credentials end at the gateway; the others are written anew for the next hop."""

READ_AND_KEPT = frozenset({b"content-type", b"x-gpustack-model"})

STAYS_UPSTREAM = HOP_BY_HOP | {b"content-length", b"date", b"set-cookie", b"x-request-id"}
"""Cookies never reach a model server, so none may plant one on the gateway's origin."""

INTERNAL_PREFIXES = (b"x-modelyard-", b"x-gpustack-")
"""Only Modelyard itself may say these; a client's and a model server's are dropped."""

SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
ABSOLUTE_FORM = re.compile(rb"https?://[^/?#]+", re.IGNORECASE).match
MAX_FIELDS = 200
BODILESS = frozenset({204, 304})
"""RFC 9110 section 6.4.1."""


class RequestHead:
    """`fields` holds what the gateway reads, by lower-case name; `kept` are header lines for upstream."""

    __slots__ = ("fault", "fields", "http11", "kept", "method", "path", "query", "target")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.path = b""
        self.query = b""
        """With its question mark; empty without a query."""
        self.http11 = True
        self.fields: dict[bytes, bytes] = {}
        self.kept: list[bytes] = []
        self.fault = ""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower in ENDS_HERE:
            self._read(lower, value)
            return
        if lower in READ_AND_KEPT:
            self._read(lower, value)
        elif lower.startswith(INTERNAL_PREFIXES):
            return
        self.kept.append(b"%b: %b\r\n" % (name, value))

    def _read(self, name: bytes, value: bytes) -> None:
        if name in self.fields:
            if name not in HOP_BY_HOP and name != b"cookie":
                self.fault = f"the header {name.decode()} comes twice"
            value = self.fields[name] + b"," + value
        self.fields[name] = value

    def body(self) -> Body:
        """RFC 9112 section 6.3: a request without either header has no body."""
        length = self.fields.get(b"content-length")
        if length is not None:
            return Length(int(length))
        return Chunked(strict=True) if b"transfer-encoding" in self.fields else NO_BODY

    def closes(self) -> bool:
        return not self.http11 or b"close" in tokens(self.fields.get(b"connection"))

    def wants_websocket(self) -> bool:
        """RFC 6455 section 4.1. No other protocol may be upgraded to: a tunnel for h2c would carry requests
        that nobody checked."""
        return (
            self.fields.get(b"upgrade", b"").lower() == b"websocket"
            and b"upgrade" in tokens(self.fields.get(b"connection"))
            and self.method == b"GET"
            and self.http11
            and any(line[:18].lower() == b"sec-websocket-key:" for line in self.kept)
        )


class ResponseHead:
    __slots__ = ("fields", "kept", "status")

    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.kept: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower in STAYS_UPSTREAM:
            if lower in self.fields:
                value = self.fields[lower] + b"," + value
            self.fields[lower] = value
        elif not lower.startswith(INTERNAL_PREFIXES):
            self.kept.append(b"%b: %b\r\n" % (name, value))

    def body(self, method: bytes) -> Body:
        """RFC 9112 section 6.3."""
        if method == b"HEAD" or self.status in BODILESS:
            return NO_BODY
        length = self.fields.get(b"content-length")
        if length is not None:
            return Length(int(length))
        return Chunked(strict=False) if b"transfer-encoding" in self.fields else UNTIL_CLOSE


def parse_request(head: bytes) -> RequestHead:
    """`head` ends with its empty line. Raises `Refusal` (400)."""
    found = RequestHead()
    parser = HttpRequestParser(found)
    try:
        parser.feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise bad_http(str(error)) from error
    found.method = parser.get_method()
    _check(found, head)
    connection = found.fields.get(b"connection")
    if connection is not None:
        found.kept = without_named(found.kept, connection)
    return found


def _check(found: RequestHead, head: bytes) -> None:
    line_end = head.find(b"\r\n")
    found.http11 = head.startswith(b" HTTP/1.1", line_end - 9)
    fields = found.fields
    if not found.http11 and not head.startswith(b" HTTP/1.0", line_end - 9):
        raise bad_http("only HTTP/1.0 and HTTP/1.1 are spoken here")
    if found.fault:
        raise bad_http(found.fault)
    if found.http11 and b"host" not in fields:
        raise bad_http("the header Host is missing")
    if b"transfer-encoding" in fields and (
        fields[b"transfer-encoding"].lower() != b"chunked" or not found.http11
    ):
        raise bad_http("the only transfer coding taken is chunked, in HTTP/1.1")
    if len(found.kept) > MAX_FIELDS:
        raise bad_http(f"there are more than {MAX_FIELDS} headers")
    target = found.target
    if not target.startswith(b"/"):
        target = _path_of(target)
    if b"#" in target or found.method == b"CONNECT":
        raise bad_http("the request's target is no path")
    found.path, question, query = target.partition(b"?")
    found.query = question + query if query else b""


def _path_of(target: bytes) -> bytes:
    """RFC 9112 section 3.2.2."""
    origin = ABSOLUTE_FORM(target)
    if origin is None:
        raise bad_http("the request's target is no path")
    path = target[origin.end() :]
    return path if path.startswith(b"/") else b"/" + path


def parse_response(head: bytes) -> ResponseHead:
    """`head` ends with its empty line. Raises `Malformed`."""
    found = ResponseHead()
    parser = HttpResponseParser(found)
    try:
        parser.feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise Malformed(str(error)) from error
    found.status = parser.get_status_code()
    coding = found.fields.get(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise Malformed(f"the transfer coding {coding.decode('latin-1')} is unknown")
    connection = found.fields.get(b"connection")
    if connection is not None:
        found.kept = without_named(found.kept, connection)
    return found


def tokens(value: bytes | None) -> list[bytes]:
    """The members of a list, in lower case."""
    return [] if value is None else [token.strip() for token in value.lower().split(b",")]


def without_named(lines: list[bytes], connection: bytes) -> list[bytes]:
    """The header lines but for those that `Connection` names."""
    named = set(tokens(connection)) - {b"keep-alive", b"close", b"upgrade", b""}
    if not named:
        return lines
    return [line for line in lines if line.partition(b":")[0].lower() not in named]


def sane_request_id(received: bytes | None) -> bytes | None:
    """A client's request id if it can be written to headers and logs as it is."""
    return received if received is not None and SANE_REQUEST_ID(received) is not None else None


def bad_http(why: str) -> Refusal:
    return bad_request(f"This is no HTTP request that can be served: {why}.", "invalid_http")
