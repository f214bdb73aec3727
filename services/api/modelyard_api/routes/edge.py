"""What happens to every request: an id, a limit on its size, and the probes."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import APIRouter, Response
from modelyard_runtime.clock import new_id
from starlette.datastructures import Headers, MutableHeaders

from modelyard_api.domain.errors import Refusal, invalid
from modelyard_api.routes.context import ContextOf
from modelyard_api.routes.errors import refused

MAX_BODY_BYTES = 1024 * 1024
SANE_ID = re.compile(r"^[A-Za-z0-9._-]{1,128}$")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class _TooLarge(Exception):
    pass


class Edge:
    """ASGI middleware: `X-Request-Id` on every answer, and no body beyond `MAX_BODY_BYTES`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if b"%00" in scope["query_string"] or "\x00" in scope["path"]:
            await refused(invalid("the address holds a NUL character"))(scope, receive, send)
            return
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if SANE_ID.match(asked) else new_id()
        read = 0
        started = False

        async def limited_receive() -> MutableMapping[str, Any]:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY_BYTES:
                raise _TooLarge
            return message

        async def marked_send(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, limited_receive, marked_send)
        except _TooLarge:
            if started:
                raise
            refusal = Refusal(413, "PayloadTooLarge", f"a body may have up to {MAX_BODY_BYTES} bytes")
            await refused(refusal)(scope, receive, marked_send)


def health_router(version: str) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is up."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz(context: ContextOf, response: Response) -> dict[str, str]:
        """The log and Postgres answer and the read models follow; else 503 and what is missing."""
        problem = context.projections.problem()
        if problem is None and not context.prepared.is_set():
            problem = "the log and the first admin are not there yet"
        if problem is not None:
            response.status_code = 503
            return {"status": "not ready", "message": problem}
        return {"status": "ready"}

    @router.get("/version")
    async def show_version() -> dict[str, str]:
        return {"version": version}

    return router
