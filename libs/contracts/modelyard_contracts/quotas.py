"""What gateways tell each other of the limits they hold callers to, and ask each other."""

from modelyard_contracts.base import Contract


class QuotaShare(Contract):
    """What one process counted for a key, a user or a route; `minute` and `day` since 1970."""

    minute: int
    requests: int
    requests_before: int
    """In the minute before."""
    tokens: int
    tokens_before: int
    day: int
    tokens_of_day: int
    in_flight: int


class QuotaCounts(Contract):
    process: str
    part: int
    shares: dict[str, QuotaShare]
    """By `k<key>`, `u<user>`, `r<route>`."""


class RequestAsked(Contract):
    """Whoever served the request answers with what became of it; all others are silent."""

    request_id: str
    user_id: int | None
    """Whose request it must be; None: anybody's."""
