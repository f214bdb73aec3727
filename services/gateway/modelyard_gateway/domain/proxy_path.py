"""Takes a path of the generic proxy apart, byte for byte."""

from dataclasses import dataclass
from datetime import UTC, datetime

from modelyard_gateway.domain.table import Route

PREFIX = b"/model/proxy/"
LONGEST_ID = 18
"""Digits; a longer number is no route's id, and part of the model server's own path."""


@dataclass(frozen=True, slots=True)
class ProxyPath:
    """`route_id` is None in the older form, which names the model in a header or in the body."""

    route_id: int | None
    upstream: bytes


def parse_proxy_path(raw_path: bytes) -> ProxyPath | None:
    """None if the path is not below the prefix as it was sent, before any decoding."""
    if not raw_path.startswith(PREFIX):
        return None
    first, slash, rest = raw_path[len(PREFIX) :].partition(b"/")
    if first.isdigit() and len(first) <= LONGEST_ID:
        return ProxyPath(int(first), b"/" + rest)
    return ProxyPath(None, b"/" + first + slash + rest)


DEPRECATED_SINCE = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def deprecation(route: Route, upstream: bytes) -> bytes:
    """Header lines that say so, with the address that replaces the older form."""
    return deprecated(b"%b%d%b" % (PREFIX, route.id, upstream))


def deprecated(successor: bytes) -> bytes:
    """Header lines (RFC 9745)."""
    return b'Deprecation: @%d\r\nLink: <%b>; rel="successor-version"\r\n' % (DEPRECATED_SINCE, successor)
