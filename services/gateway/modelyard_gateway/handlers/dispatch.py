"""One request to one instance: picks it, counts it, and asks another where it cannot be reached."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.balance import candidates, pick
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.table import Endpoint, Route, RoutingTable
from modelyard_gateway.ports import (
    CouldNotConnect,
    Unsendable,
    Upstream,
    UpstreamBroke,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimedOut,
)

logger = structlog.stdlib.get_logger()


class Dispatcher:
    """`clock` is monotonic, in seconds. `skip_failed_s`: for how long an instance that could not be
    reached is asked only where no other is left."""

    def __init__(
        self,
        table: RoutingTable,
        upstream: Upstream,
        *,
        clock: Callable[[], float],
        skip_failed_s: float,
        retry_after_s: int,
    ) -> None:
        self._table = table
        self._upstream = upstream
        self._clock = clock
        self._skip_failed_s = skip_failed_s
        self._retry_after_s = retry_after_s
        self._in_flight: Counter[Endpoint] = Counter()
        self._failed_until: dict[Endpoint, float] = {}
        self._turn = 0

    @asynccontextmanager
    async def exchange(self, route: Route, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        """The response's head has come when this enters. Leaving it ends the exchange, finished or not.

        Raises `Refusal` on entering.
        """
        tried: set[Endpoint] = set()
        while True:
            endpoint = self._pick(route, tried)
            with self._counted(endpoint):
                response = await self._try(endpoint, route, request)
                if response is None:
                    tried.add(endpoint)
                    continue
                try:
                    yield response
                finally:
                    await response.aclose()
                return

    def in_flight(self) -> int:
        return self._in_flight.total()

    def _pick(self, route: Route, tried: set[Endpoint]) -> Endpoint:
        self._turn += 1
        found = candidates(
            self._table,
            route,
            in_flight=self._in_flight,
            failed=self._recently_failed(),
            tried=tried,
        )
        endpoint = pick(found, self._turn)
        if endpoint is not None:
            return endpoint
        if tried:
            raise refusals.unreachable(route.name, len(tried))
        raise refusals.no_instance(route.name, self._retry_after_s)

    async def _try(
        self, endpoint: Endpoint, route: Route, request: UpstreamRequest
    ) -> UpstreamResponse | None:
        """The response, or None if nothing was sent because the instance could not be reached."""
        try:
            response = await self._upstream.send(endpoint, request)
        except CouldNotConnect as error:
            self._failed_until[endpoint] = self._clock() + self._skip_failed_s
            self._warn("instance does not accept connections", endpoint, error)
            return None
        except UpstreamTimedOut as error:
            self._warn("instance does not answer", endpoint, error)
            raise refusals.timed_out(route.name) from error
        except UpstreamBroke as error:
            self._warn("instance broke the connection", endpoint, error)
            raise refusals.broken(route.name) from error
        except Unsendable as error:
            raise _unsendable(error) from error
        self._failed_until.pop(endpoint, None)
        return response

    def _recently_failed(self) -> set[Endpoint]:
        if self._failed_until:
            now = self._clock()
            self._failed_until = {
                endpoint: until for endpoint, until in self._failed_until.items() if until > now
            }
        return set(self._failed_until)

    @contextmanager
    def _counted(self, endpoint: Endpoint) -> Iterator[None]:
        self._in_flight[endpoint] += 1
        try:
            yield
        finally:
            self._in_flight[endpoint] -= 1
            if not self._in_flight[endpoint]:
                del self._in_flight[endpoint]

    def _warn(self, message: str, endpoint: Endpoint, error: Exception) -> None:
        logger.warning(
            message,
            instance_id=endpoint.instance_id,
            attempt=endpoint.attempt,
            address=f"{endpoint.host}:{endpoint.port}",
            error=str(error) or type(error).__name__,
        )


def _unsendable(error: Unsendable) -> Refusal:
    return refusals.bad_request(f"The request cannot be forwarded: {error}", "invalid_http")
