"""Every refusal in one shape: `{"code", "reason", "message"}`."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from modelyard_contracts.complaints import about
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.wire import EventTooLarge
from modelyard_models.sources.errors import SourceError
from starlette.exceptions import HTTPException

from modelyard_api.adapters.database import DatabaseUnavailable
from modelyard_api.domain.errors import Refusal, bad_request, invalid, not_found, unavailable
from modelyard_api.routes.source_errors import of_source

logger = structlog.stdlib.get_logger()

NOT_AN_OBJECT = ("model_attributes_type", "model_type", "dict_type", "missing")
REASONS = {404: "NotFound", 405: "MethodNotAllowed", 413: "PayloadTooLarge"}


def refused(refusal: Refusal, headers: Mapping[str, str] | None = None) -> JSONResponse:
    body: dict[str, Any] = {"code": refusal.code, "reason": refusal.reason, "message": refusal.message}
    if refusal.details is not None:
        body["details"] = refusal.details
    sent = dict(headers or {})
    if refusal.code == 503:
        sent.setdefault("Retry-After", "1")
    if refusal.code == 401:
        sent.setdefault("WWW-Authenticate", "Bearer")
    return JSONResponse(body, status_code=refusal.code, headers=sent)


def from_validation(errors: Sequence[Mapping[str, Any]]) -> Refusal:
    """One line that counts, then one for each field, which it names."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return bad_request(f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}")
    if first["loc"] == ("body",) and first["type"] in NOT_AN_OBJECT:
        return bad_request("the body is not a JSON object, or was not sent as Content-Type: application/json")
    lines = []
    for error in errors:
        field = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path"))
        # a body's own field is never called so: this is the id in the path
        field = "id" if field == "ident" else field
        lines.append(about(field, error))
    count = "1 field is" if len(lines) == 1 else f"{len(lines)} fields are"
    return invalid("\n".join([f"{count} not valid", *lines]))


def add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def on_refusal(_: Request, error: Refusal) -> JSONResponse:
        return refused(error)

    @app.exception_handler(RequestValidationError)
    async def on_validation(_: Request, error: RequestValidationError) -> JSONResponse:
        return refused(from_validation(error.errors()))

    @app.exception_handler(DatabaseUnavailable)
    async def on_database(_: Request, error: DatabaseUnavailable) -> JSONResponse:
        return refused(unavailable(f"Postgres does not answer, nothing was changed: {error}"))

    @app.exception_handler(LogUnavailable)
    async def on_log(_: Request, error: LogUnavailable) -> JSONResponse:
        return refused(unavailable(str(error)))

    @app.exception_handler(EventTooLarge)
    async def on_size(_: Request, error: EventTooLarge) -> JSONResponse:
        return refused(Refusal(413, "PayloadTooLarge", str(error)))

    @app.exception_handler(SourceError)
    async def on_source(_: Request, error: SourceError) -> JSONResponse:
        return refused(*of_source(error))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return refused(not_found(f"path {request.url.path}"))
        reason = REASONS.get(error.status_code, "BadRequest")
        return refused(Refusal(error.status_code, reason, str(error.detail)), error.headers)

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> JSONResponse:
        logger.error("request failed", path=request.url.path, exc_info=error)
        return refused(Refusal(500, "InternalServerError", "this is our fault: see the api's log"))
