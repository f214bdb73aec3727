"""What is remembered of one request."""

from typing import Any, NamedTuple


class Attempt(NamedTuple):
    instance_id: int
    outcome: str
    after_s: float
    """Since the request came."""


class Record:
    """Filled in as the request goes on; whole when it is handed to `on_finished`.

    `started_at` is a Unix time; the other times are seconds after it, None for what did not happen.
    `status` is 0 where no answer was begun. `code` says why it failed, in the words of the error's code.
    """

    __slots__ = (
        "attempts", "bytes_in", "bytes_out", "code", "ended_s", "first_byte_s", "instance_id", "key_id",
        "model", "path", "reason", "request_id", "route_id", "started_at", "status", "usage", "user_id",
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
        self.reason: str | None = None
        self.status = 0
        self.code: str | None = None
        self.first_byte_s: float | None = None
        self.ended_s: float | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.usage: dict[str, Any] | None = None
        self.attempts: list[Attempt] = []
