"""What the handlers need from the outside."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from modelyard_gateway.domain.headers import Headers
from modelyard_gateway.domain.table import Endpoint


class CouldNotConnect(Exception):
    """Nothing was sent: another instance may be asked."""


class UpstreamTimedOut(Exception):
    """Connected, but silent for too long."""


class UpstreamBroke(Exception):
    """The connection ended before the response did."""


class Unsendable(Exception):
    """The request breaks HTTP in a way that no server would accept."""


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """`target` is path and query, byte for byte. A body that is not at hand is called for once the
    connection stands, and only then."""

    method: str
    target: bytes
    headers: Headers
    body: Callable[[], AsyncIterator[bytes]] | bytes | None


class UpstreamResponse(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, still encoded. Raises `UpstreamTimedOut`, `UpstreamBroke`."""
        ...

    async def aclose(self) -> None:
        """Ends the exchange; an unfinished one is broken off, which the model server notices."""
        ...


class Upstream(Protocol):
    async def send(self, endpoint: Endpoint, request: UpstreamRequest) -> UpstreamResponse:
        """Returns when the response's head is there. Raises `CouldNotConnect`, `UpstreamTimedOut`,
        `UpstreamBroke`, `Unsendable`, and whatever reading the request's body raises."""
        ...
