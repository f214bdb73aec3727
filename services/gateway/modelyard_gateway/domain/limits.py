"""For how long what may last, and what is done about instances that fail. Times in seconds."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from modelyard_contracts.events import RouteOptions


class Ejection(NamedTuple):
    """An instance is left alone for `for_s` after `failures` in a row, twice as long each further time."""

    failures: int
    for_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class Limits:
    connect_s: float
    first_byte_s: float
    """From the request's last byte to the answer's first."""
    idle_s: float
    """Between two bytes of an answer."""
    client_idle_s: float
    """Between two bytes of a request's body."""
    total_s: float
    """For the whole exchange; 0 for no end."""
    head_s: float
    """For a client to send a request's head."""
    keepalive_s: float
    """For a client's connection without a request."""
    retry_after_s: int
    max_head_bytes: int
    max_scan_bytes: int
    """Of a body's beginning, that much is held to find its model."""
    queue_s: float
    """For a request to wait for an instance with room."""
    comment_s: float
    """Between two comments to a client that waits for the first event of a stream; 0 for none."""
    unreachable: Ejection
    failing: Ejection
    silent_s: float
    """Without a byte from an instance at which requests run, after which others are preferred."""


@lru_cache(maxsize=4096)
def limits_of(options: RouteOptions, general: Limits) -> Limits:
    """The limits of a route: its own, and the general ones where it has none."""
    return replace(
        general,
        connect_s=options.connect_timeout_s or general.connect_s,
        first_byte_s=options.first_byte_timeout_s or general.first_byte_s,
        idle_s=options.idle_timeout_s or general.idle_s,
        total_s=options.total_timeout_s or general.total_s,
        queue_s=options.queue_timeout_s or general.queue_s,
    )
