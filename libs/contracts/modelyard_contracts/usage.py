"""What a gateway counts of requests: packed, many of them in a message.

Packed, because it is written while a request waits, where text costs several times as much.
"""

import struct
from collections.abc import Iterator
from enum import StrEnum

from modelyard_contracts.base import Contract


class Basis(StrEnum):
    COUNTED = "counted"
    """As the model server said."""
    ESTIMATED = "estimated"
    """The answer broke off, or was a stream that said no usage."""
    NONE = "none"
    """No model server was asked, or its answer is of a kind that has no usage."""
    IN_FLIGHT = "in_flight"
    """The gateway was killed before it ended: what the model server did for it is not known."""


BASES = tuple(Basis)

PACKED = struct.Struct("<QdqqqqIIIffHBB32s128s")
"""Number, start; key, user, route, instance; tokens in, out, cached; duration, time to the first token;
status, basis as a place in `BASES`, length of the id; code; id. -1 for an instance or a first token that is
not there."""
LARGEST = 2**32 - 1


class Metered(Contract):
    """One request. `number` counts those of one gateway process and only grows: with it, a request is
    counted once, however often it is told."""

    number: int
    request_id: str
    started_at: float
    """Unix time."""
    key_id: int
    user_id: int
    route_id: int
    instance_id: int | None
    status: int
    """0: no answer was begun."""
    code: str | None
    basis: Basis
    tokens_in: int
    """`tokens_cached` among them."""
    tokens_out: int
    tokens_cached: int
    duration_s: float
    first_token_s: float | None
    """Of a stream."""


def unpacked(data: bytes) -> Iterator[Metered]:
    """Raises `struct.error` if it is not a whole number of them, `IndexError` for a basis nobody knows."""
    for found in PACKED.iter_unpack(data):
        number, started_at, key_id, user_id, route_id, instance_id, read, made, cached = found[:9]
        duration_s, first_token_s, status, basis, length, code, request_id = found[9:]
        yield Metered(
            number=number,
            request_id=request_id[:length].decode("latin-1"),
            started_at=started_at,
            key_id=key_id,
            user_id=user_id,
            route_id=route_id,
            instance_id=None if instance_id < 0 else instance_id,
            status=status,
            code=code.rstrip(b"\0").decode("latin-1") or None,
            basis=BASES[basis],
            tokens_in=read,
            tokens_out=made,
            tokens_cached=cached,
            duration_s=duration_s,
            first_token_s=None if first_token_s < 0 else first_token_s,
        )
