"""Answers of the gateway's own, errors in the shape of the protocol that was spoken."""

import json
from http import HTTPStatus
from typing import Any, NamedTuple

from modelyard_gateway.domain.anthropic_answer import KINDS
from modelyard_gateway.domain.anthropic_request import MESSAGES
from modelyard_gateway.domain.refusals import Refusal


class Answer(NamedTuple):
    """`lines` are header lines."""

    status: int
    body: bytes
    lines: bytes = b""


def error_event(body: bytes, path: bytes) -> bytes:
    """An error amid a stream, as a server-sent event."""
    kind = b"event: error\n" if path.startswith(MESSAGES) else b""
    return kind + b"".join(b"data: %b\n" % line for line in body.splitlines()) + b"\n"


JSON = b"Content-Type: application/json\r\n"


def json_answer(status: int, body: Any, lines: bytes = b"") -> Answer:
    return Answer(status, json.dumps(body).encode(), JSON + lines)


def refusal_answer(refusal: Refusal, path: bytes, request_id: bytes) -> Answer:
    lines = refusal.lines
    if refusal.retry_after_s is not None:
        lines += b"Retry-After: %d\r\n" % refusal.retry_after_s
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        lines += b"WWW-Authenticate: Bearer\r\n"
    if refusal.allow is not None:
        lines += b"Allow: %b\r\n" % refusal.allow.encode()
    error = {"message": refusal.message, "type": refusal.kind, "param": refusal.param, "code": refusal.code}
    if not path.startswith(MESSAGES):
        return json_answer(refusal.status, {"error": error}, lines)
    kind = KINDS.get(refusal.status, "api_error")
    body = {
        "type": "error",
        "error": {"type": kind, "message": refusal.message, "code": refusal.code},
        "request_id": request_id.decode(),
    }
    return json_answer(refusal.status, body, lines)
