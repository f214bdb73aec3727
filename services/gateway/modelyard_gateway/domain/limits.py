"""For how long what may last, and what is done about instances that fail. Times in seconds."""

from dataclasses import dataclass
from typing import NamedTuple


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
