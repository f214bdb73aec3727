"""Carries one request to an instance and its answer back, as it comes, while somebody waits for it."""

import asyncio

import structlog
from starlette.types import Scope, Send

from modelyard_gateway.domain.headers import Headers, downstream_headers, upstream_headers
from modelyard_gateway.domain.table import Route
from modelyard_gateway.handlers.dispatch import Dispatcher
from modelyard_gateway.ports import UpstreamBroke, UpstreamRequest, UpstreamTimedOut
from modelyard_gateway.routes.body import RequestBody

logger = structlog.stdlib.get_logger()

NOT_MODIFIED = 304


class Relay:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def __call__(
        self,
        scope: Scope,
        send: Send,
        body: RequestBody,
        route: Route,
        target: bytes,
        *,
        also: Headers | None = None,
    ) -> None:
        """`target` is the path at the model server; the query is kept. `also` are headers for the client.

        Raises `Refusal` before the response starts. A client that hangs up ends the exchange at once.
        """
        request = await _upstream_request(scope, body, target)
        work = asyncio.create_task(self._exchange(scope, send, route, request, also or []))
        gone = asyncio.create_task(body.wait_until_client_gone())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Only the server cancels a request, and only when its grace at shutdown is over; this task
            # ends here, so that nobody misses the exception.
            logger.warning("request cut by shutdown", model=route.name, request_id=_request_id(scope))
        finally:
            gone.cancel()
            work.cancel()
            await asyncio.wait({work, gone})
        if not work.cancelled():
            work.result()

    async def _exchange(
        self, scope: Scope, send: Send, route: Route, request: UpstreamRequest, also: Headers
    ) -> None:
        async with self._dispatcher.exchange(route, request) as response:
            headers = [*downstream_headers(response.headers), *also]
            if response.status == NOT_MODIFIED:
                headers = [header for header in headers if header[0] != b"content-length"]
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            try:
                async for chunk in response.chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except (UpstreamBroke, UpstreamTimedOut) as error:
                # The response stays unfinished, for which the server cuts the connection: the client must
                # not take what it has for the whole answer.
                logger.warning(
                    "instance broke off its response",
                    model=route.name,
                    request_id=_request_id(scope),
                    error=str(error) or type(error).__name__,
                )
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _upstream_request(scope: Scope, body: RequestBody, target: bytes) -> UpstreamRequest:
    headers = upstream_headers(scope["headers"], _request_id(scope).encode())
    query: bytes = scope["query_string"]
    has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
    if not has_body:
        await body.read(1)
    whole = await body.read(0) if body.ended else None
    return UpstreamRequest(
        method=scope["method"],
        target=target + b"?" + query if query else target,
        headers=headers,
        body=(whole if has_body else None) if body.ended else body.chunks,
    )


def _request_id(scope: Scope) -> str:
    found: str = scope["state"]["request_id"]
    return found
