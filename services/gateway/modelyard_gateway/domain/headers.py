"""Which header fields cross the gateway, by lower-case name; and heads that are known already."""

from collections.abc import Callable, Collection
from typing import Generic, Protocol, Self, TypeVar


class AnyHead(Protocol):
    def with_length(self, length: int) -> Self: ...


Head = TypeVar("Head", bound=AnyHead)

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

READ_AND_KEPT = frozenset({b"content-type", b"x-gpustack-model", b"x-session-id"})

FOR_PROVIDERS = frozenset(
    {b"accept", b"anthropic-beta", b"anthropic-version", b"content-type", b"openai-beta", b"user-agent"}
)
"""Nothing else of a client's crosses to a model server of others."""

FROM_PROVIDERS = frozenset({b"cache-control", b"content-encoding", b"content-type", b"retry-after"})

STAYS_UPSTREAM = HOP_BY_HOP | {b"content-length", b"date", b"set-cookie", b"x-request-id"}
"""Cookies never reach a model server, so none may plant one on the gateway's origin."""

INTERNAL_PREFIXES = (b"x-modelyard-", b"x-gpustack-")
"""Only Modelyard itself may say these; a client's and a model server's are dropped."""

REQUEST_ID = b"X-Request-Id: "

LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
LONGEST_LENGTH = 15
"""Digits."""


def tokens(value: bytes | None) -> list[bytes]:
    """The members of a list, in lower case."""
    return [] if value is None else [token.strip() for token in value.lower().split(b",")]


def without_named(lines: list[bytes], connection: bytes | None) -> bytes:
    """The header lines but for those that `Connection` names."""
    if connection is None:
        return b"".join(lines)
    named = set(tokens(connection))
    return b"".join(line for line in lines if line.partition(b":")[0].lower() not in named)


def only(lines: list[bytes], names: Collection[bytes]) -> bytes:
    return b"".join(line for line in lines if line.partition(b":")[0].lower() in names)


def split_length(head: bytes) -> tuple[bytes, int]:
    """A head without the digits of its `Content-Length`, and their value; the head as it is and -1 if it
    has none that is written the usual way."""
    for name in LENGTHS:
        at = head.find(name)
        if at >= 0:
            start = at + len(name)
            end = head.find(b"\r\n", start)
            digits = head[start:end]
            if digits.isdigit() and len(digits) <= LONGEST_LENGTH:
                return head[:start] + head[end:], int(digits)
            return head, -1
    return head, -1


class Known(Generic[Head]):
    """Knows heads again that were parsed before: a peer says the same with every message, but for its
    length. Heads are shared, and never changed once they are made."""

    def __init__(
        self, parse: Callable[[bytes], Head], *, most: int = 4000, longest_bytes: int = 4096
    ) -> None:
        self._parse = parse
        self._most = most
        self._longest_bytes = longest_bytes
        self._known: dict[bytes, Head] = {}
        self._but_for_length: dict[bytes, Head] = {}
        """By the head without the digits of its length, which no parser would take as it is."""
        self.find = self._known.get

    def read(self, text: bytes) -> Head:
        """Raises what `parse` raises."""
        head = self._known.get(text)
        if head is not None:
            return head
        key, length = split_length(text)
        like = self._but_for_length.get(key) if length >= 0 else None
        head = self._parse(text) if like is None else like.with_length(length)
        if len(text) <= self._longest_bytes:
            if len(self._known) >= self._most:
                self._known.clear()
                self._but_for_length.clear()
            self._known[text] = head
            if length >= 0:
                self._but_for_length[key] = head
        return head
