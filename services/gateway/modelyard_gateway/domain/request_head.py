"""The head of a request: parsed strictly, and sorted into what crosses the gateway.

llhttp parses, with none of its lenient flags: it refuses bare CR and LF, folded lines, white space
before a colon, control characters, conflicting and repeated lengths. What it lets pass and RFC 9112
does not, or what no client of ours needs, is refused here.
"""

import re
from copy import copy

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from modelyard_gateway.domain.access import Presented, presented
from modelyard_gateway.domain.headers import (
    ENDS_HERE,
    FOR_PROVIDERS,
    HOP_BY_HOP,
    INTERNAL_PREFIXES,
    READ_AND_KEPT,
    only,
    tokens,
    without_named,
)
from modelyard_gateway.domain.paths import Kind, Meaning, meaning_of
from modelyard_gateway.domain.refusals import Refusal, bad_request

HEAD_END = b"\r\n\r\n"
SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
ABSOLUTE_FORM = re.compile(rb"https?://[^/?#]+", re.IGNORECASE).match
MAX_FIELDS = 200


class RequestHead:
    """`fields` holds what the gateway reads, by lower-case name.

    Shared by all requests that say the same: never changed once it is made.
    """

    __slots__ = (
        "chunked", "closes", "fault", "fields", "http11", "infers", "kept", "length", "meaning",
        "message", "method", "path", "presented", "request_id", "start", "target",
    )  # fmt: skip

    meaning: Meaning
    presented: Presented | None
    request_id: bytes | None
    """The client's own, if it can be written to headers and logs as it is."""
    start: bytes
    """The line and the header lines for the model server."""
    message: bytes
    """The same, with the body's length if it is known."""

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.path = b""
        self.http11 = True
        self.fields: dict[bytes, bytes] = {}
        self.kept: list[bytes] = []
        self.length = -1
        """Of the body; -1 if none is said."""
        self.chunked = False
        self.closes = False
        """The connection is to be closed after the answer."""
        self.infers = False
        """It is one whose body names a model, at a path of today."""
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

    def with_length(self, length: int) -> "RequestHead":
        """The same head with another length."""
        head = copy(self)
        head.length = length
        head.message = b"%bContent-Length: %d\r\n" % (self.start, length)
        return head

    def for_provider(self, base: bytes) -> "RequestHead":
        """The same request of a model server of others, at its own address of `/v1`."""
        head = copy(self)
        path = base + self.meaning.target.removeprefix(b"/v1")
        query = self.target.partition(b"?")[2]
        target = b"%b?%b" % (path, query) if query else path
        lines = only(self.kept, FOR_PROVIDERS)
        head.start = head.message = b"%b %b HTTP/1.1\r\n%b" % (self.method, target, lines)
        return head if self.length < 0 else head.with_length(self.length)

    def retargeted(self, path: bytes) -> "RequestHead":
        """The same request at another path, without its query."""
        head = copy(self)
        head.target = path
        head.meaning = self.meaning._replace(target=path)
        lines = self.start[self.start.index(b"\r\n") + 2 :]
        head.start = head.message = b"%b %b HTTP/1.1\r\n%b" % (self.method, path, lines)
        return head if self.length < 0 else head.with_length(self.length)

    def query(self) -> str:
        return self.target.partition(b"?")[2].decode("latin-1")

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


def parse_request(text: bytes) -> RequestHead:
    """`text` ends with its empty line. Raises `Refusal` (400)."""
    head = RequestHead()
    parser = HttpRequestParser(head)
    try:
        parser.feed_data(text)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise bad_http(str(error)) from error
    head.method = parser.get_method()
    _check_version(head, text)
    _check_fields(head)
    query = _check_target(head)
    fields = head.fields
    connection = fields.get(b"connection")
    head.meaning = meaning_of(head.path)
    if head.meaning.kind is Kind.INFERENCE:
        head.infers = head.method == b"POST" and not head.meaning.older
        head.kept = [line for line in head.kept if not line[:16].lower().startswith(b"accept-encoding:")]
    lines = without_named(head.kept, connection)
    head.start = head.message = b"%b %b%b HTTP/1.1\r\n%b" % (head.method, head.meaning.target, query, lines)
    head.chunked = b"transfer-encoding" in fields
    head.closes = not head.http11 or b"close" in tokens(connection)
    given = fields.get(b"x-request-id")
    head.request_id = given if given is not None and SANE_REQUEST_ID(given) is not None else None
    head.presented = presented(fields.get(b"authorization", b""), fields.get(b"x-api-key", b""))
    length = fields.get(b"content-length")
    return head if length is None else head.with_length(int(length))


def _check_version(head: RequestHead, text: bytes) -> None:
    """llhttp takes other protocols, too, and lines without any."""
    line_end = text.find(b"\r\n")
    head.http11 = text.startswith(b" HTTP/1.1", line_end - 9)
    if not head.http11 and not text.startswith(b" HTTP/1.0", line_end - 9):
        raise bad_http("only HTTP/1.0 and HTTP/1.1 are spoken here")


def _check_fields(head: RequestHead) -> None:
    if head.fault:
        raise bad_http(head.fault)
    if head.http11 and b"host" not in head.fields:
        raise bad_http("the header Host is missing")
    coding = head.fields.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or not head.http11):
        raise bad_http("the only transfer coding taken is chunked, in HTTP/1.1")
    if len(head.kept) > MAX_FIELDS:
        raise bad_http(f"there are more than {MAX_FIELDS} headers")


def _check_target(head: RequestHead) -> bytes:
    """The query with its question mark; empty without a query."""
    target = head.target
    origin = ABSOLUTE_FORM(target)  # RFC 9112 section 3.2.2
    if origin is not None:
        target = target[origin.end() :]
        target = target if target.startswith(b"/") else b"/" + target
    if not target.startswith(b"/") or b"#" in target or head.method == b"CONNECT":
        raise bad_http("the request's target is no path")
    head.path, question, query = target.partition(b"?")
    return question + query if query else b""


def bad_http(why: str) -> Refusal:
    return bad_request(f"This is no HTTP request that can be served: {why}.", "invalid_http")
