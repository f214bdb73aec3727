"""What a gateway counts of requests: one line of JSON each, many of them in a message."""

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


class Metered(Contract):
    """One request. `number` counts those of one gateway process, without gaps: with it, a request is
    counted once, however often its line comes."""

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
