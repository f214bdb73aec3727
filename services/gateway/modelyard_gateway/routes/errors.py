"""Refusals and failures in OpenAI's shape; the only place where they become responses."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from modelyard_gateway.domain.refusals import INVALID, Refusal
from modelyard_gateway.routes.body import ClientGone

CLIENT_CLOSED = 499
"""As nginx calls it."""


def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return error_response(error.status, error.message, error.kind, error.code, error.param, headers)


def not_routed(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405."""
    assert isinstance(error, HTTPException)  # noqa: S101
    code = "method_not_allowed" if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else "unknown_url"
    message = f"{error.detail}: {request.method} {request.url.path}"
    return error_response(error.status_code, message, INVALID, code, headers=dict(error.headers or {}))


def failed(request: Request, error: Exception) -> Response:
    """A bug: the server logs it, the client learns the request id."""
    return error_response(500, "The gateway failed on this request.", "server_error", "internal_error")


def nobody_waits(request: Request, error: Exception) -> Response:
    """The client hung up before its request was whole. The server drops this answer."""
    return error_response(CLIENT_CLOSED, "The client closed the connection.", INVALID, "client_closed")


def error_response(
    status: int,
    message: str,
    kind: str,
    code: str,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(body, status, headers)


EXCEPTION_HANDLERS: dict[type[Exception], ExceptionHandler] = {
    Refusal: refused,
    ClientGone: nobody_waits,
    HTTPException: not_routed,
    Exception: failed,
}
