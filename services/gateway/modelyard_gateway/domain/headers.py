"""Which headers cross the gateway. All names here are lower case, as ASGI gives them."""

import re
from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

MODEL_HEADER = b"x-gpustack-model"
REQUEST_ID_HEADER = b"x-request-id"

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

NOT_UPSTREAM = frozenset({b"authorization", b"x-api-key", b"cookie", b"host", b"expect", REQUEST_ID_HEADER})
"""Credentials end at the gateway; the others are written anew for the next hop."""

NOT_DOWNSTREAM = frozenset({b"date", b"set-cookie", REQUEST_ID_HEADER})
"""Cookies never reach a model server, so none may plant one on the gateway's origin."""

INTERNAL_PREFIXES = (b"x-modelyard-", b"x-gpustack-")
"""Only Modelyard itself may say these; a client's and a model server's are dropped."""

SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def upstream_headers(received: Iterable[tuple[bytes, bytes]], request_id: bytes) -> Headers:
    """What the model server gets of a client's headers; duplicates and order are kept."""
    headers = list(received)
    dropped = HOP_BY_HOP | NOT_UPSTREAM | _named_by_connection(headers)
    kept = [
        (name, value)
        for name, value in headers
        if name not in dropped and (name == MODEL_HEADER or not name.startswith(INTERNAL_PREFIXES))
    ]
    return [*kept, (REQUEST_ID_HEADER, request_id)]


def downstream_headers(received: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What the client gets of a model server's headers."""
    headers = [(name.lower(), value) for name, value in received]
    dropped = HOP_BY_HOP | NOT_DOWNSTREAM | _named_by_connection(headers)
    return [
        (name, value)
        for name, value in headers
        if name not in dropped and not name.startswith(INTERNAL_PREFIXES)
    ]


def sane_request_id(received: bytes | None) -> str | None:
    """A client's request id if it can be written to headers and logs as it is."""
    if received is None or SANE_REQUEST_ID.fullmatch(received) is None:
        return None
    return received.decode()


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    return frozenset(
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    )
