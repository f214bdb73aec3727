"""Refusals: what a caller is told when the answer is no. Caught once, at the edge."""

from typing import Any

MOST_BIGINT = 2**63 - 1
"""The largest number that a column of Postgres can hold."""


class Refusal(Exception):
    """`code` is the HTTP status, `reason` the machine's word for it, the message is for people."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def unauthorized(message: str) -> Refusal:
    return Refusal(401, "Unauthorized", message)


def forbidden(message: str) -> Refusal:
    return Refusal(403, "Forbidden", message)


def not_found(what: str) -> Refusal:
    return Refusal(404, "NotFound", f"{what} does not exist")


def name_taken(kind: str, name: str) -> Refusal:
    return Refusal(409, "AlreadyExists", f"name: a {kind} named {name!r} exists already")


def conflict(message: str) -> Refusal:
    return Refusal(409, "Conflict", message)


def gone(message: str) -> Refusal:
    return Refusal(410, "Gone", message)


def outdated(seq: int, expected: int) -> Refusal:
    return Refusal(
        412,
        "PreconditionFailed",
        f"If-Match names {expected}, but it is at {seq}: read it again and decide anew",
    )


def invalid(message: str) -> Refusal:
    return Refusal(422, "Invalid", message)


def unavailable(message: str) -> Refusal:
    return Refusal(503, "ServiceUnavailable", message)


def too_late(message: str) -> Refusal:
    return Refusal(504, "GatewayTimeout", message)
