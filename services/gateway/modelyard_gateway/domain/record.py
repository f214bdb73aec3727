"""What is remembered of one request."""

from datetime import UTC, datetime
from typing import Any, NamedTuple


class Attempt(NamedTuple):
    instance_id: int | None
    provider_id: int | None
    outcome: str
    after_s: float
    """Since the request came."""


class Record:
    """Filled in as the request goes on; whole when it is handed to `on_finished`.

    `started_at` is a Unix time; the other times are seconds after it, None for what did not happen.
    `status` is 0 where no answer was begun. `code` says why it failed, in the words of the error's code.
    """

    __slots__ = (
        "attempts", "bytes_in", "bytes_out", "code", "ended_s", "events", "first_byte_s", "first_token_s",
        "instance_id", "key_id", "mark", "model", "path", "provider_id", "reason", "request_id", "route_id",
        "sent_s", "sent_to", "started_at", "status", "usage", "user_id",
    )  # fmt: skip

    def __init__(self, request_id: bytes, path: bytes, started_at: float, key_id: int, user_id: int) -> None:
        self.request_id = request_id
        self.path = path
        self.started_at = started_at
        self.key_id = key_id
        self.user_id = user_id
        self.model: str | None = None
        self.route_id: int | None = None
        self.instance_id: int | None = None
        """The one that answered."""
        self.sent_to: int | None = None
        """The instance that was asked last; 0 for a provider."""
        self.mark = -1
        """Where the spool has it marked as in flight."""
        self.provider_id: int | None = None
        self.reason: str | None = None
        self.status = 0
        self.code: str | None = None
        self.sent_s: float | None = None
        """When it went to the instance that was asked last; until then it was read, and waited."""
        self.first_byte_s: float | None = None
        self.first_token_s: float | None = None
        """Of a stream: when its first event came."""
        self.ended_s: float | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.usage: dict[str, Any] | None = None
        self.events = 0
        """Of a stream."""
        self.attempts: tuple[Attempt, ...] = ()
        """Those that failed."""

    def view(self) -> dict[str, Any]:
        """As JSON tells it; times in seconds after `started_at`."""
        return {
            "request_id": self.request_id.decode(),
            "path": self.path.decode("latin-1"),
            "model": self.model,
            "route_id": self.route_id,
            "instance_id": self.instance_id,
            "provider_id": self.provider_id,
            "reason": self.reason,
            "status": self.status,
            "code": self.code,
            "started_at": datetime.fromtimestamp(self.started_at, UTC).isoformat(),
            "sent_s": self.sent_s,
            "first_byte_s": self.first_byte_s,
            "first_token_s": self.first_token_s,
            "ended_s": self.ended_s,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "usage": self.usage,
            "failed_attempts": [attempt._asdict() for attempt in self.attempts],
        }
