"""Model servers over HTTP/1.1, by httpx's transport: no cookies, no redirects, no decoding."""

from collections.abc import AsyncIterator

import httpx

from modelyard_gateway.domain.headers import Headers
from modelyard_gateway.domain.table import Endpoint
from modelyard_gateway.ports import (
    CouldNotConnect,
    Unsendable,
    UpstreamBroke,
    UpstreamRequest,
    UpstreamTimedOut,
)

KEEPALIVE_S = 2.0
"""Shorter than the 5 s of llama.cpp's and uvicorn's servers, so that they do not close a connection
just as it is used again."""


class HttpUpstream:
    """`idle_timeout_s` bounds the silence between two bytes; a whole response may take for ever."""

    def __init__(self, *, connect_timeout_s: float, idle_timeout_s: float) -> None:
        self._transport = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_S), trust_env=False
        )
        self._timeout = httpx.Timeout(idle_timeout_s, connect=connect_timeout_s, pool=None).as_dict()

    async def send(self, endpoint: Endpoint, request: UpstreamRequest) -> "HttpUpstreamResponse":
        outgoing = httpx.Request(
            request.method,
            httpx.URL(scheme="http", host=endpoint.host, port=endpoint.port),
            headers=request.headers,
            content=request.body() if callable(request.body) else request.body,
            extensions={"timeout": self._timeout, "target": request.target},
        )
        try:
            return HttpUpstreamResponse(await self._transport.handle_async_request(outgoing))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise CouldNotConnect(str(error)) from error
        except httpx.TimeoutException as error:
            raise UpstreamTimedOut(str(error)) from error
        except httpx.LocalProtocolError as error:
            raise Unsendable(str(error)) from error
        except httpx.TransportError as error:
            raise UpstreamBroke(str(error)) from error

    async def aclose(self) -> None:
        await self._transport.aclose()


class HttpUpstreamResponse:
    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Headers:
        return self._response.headers.raw

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx.TimeoutException as error:
            raise UpstreamTimedOut(str(error)) from error
        except httpx.TransportError as error:
            raise UpstreamBroke(str(error)) from error

    async def aclose(self) -> None:
        await self._response.aclose()
