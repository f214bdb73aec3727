"""An answer of the gateway's own that must be waited for."""

import asyncio
from collections.abc import Awaitable, Callable

from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.routes.answers import Answer


class Later:
    """Is to a connection what an exchange is: it calls one of both when it knows."""

    deadline = total_until = comment_at = 0.0
    responding = False

    def __init__(
        self, coming: Awaitable[Answer], answer: Callable[[Answer], None], refuse: Callable[[Refusal], None]
    ) -> None:
        self._telling = asyncio.ensure_future(self._tell(coming, answer, refuse))

    async def _tell(
        self, coming: Awaitable[Answer], answer: Callable[[Answer], None], refuse: Callable[[Refusal], None]
    ) -> None:
        try:
            found = await coming
        except Refusal as refusal:
            refuse(refusal)
        else:
            answer(found)

    def client_gone(self) -> None:
        self._telling.cancel()

    def request_body(self, data: bytes, done: bool) -> None:
        """Nothing in it matters."""

    def client_full(self, full: bool) -> None:
        """The answer is small."""

    def comment(self, now: float) -> None:
        """Never asked for: `comment_at` is 0."""

    def expired(self) -> None:
        """Never: `deadline` is 0."""

    def from_tunnel(self, data: bytes) -> None:
        """Never: it opens none."""

    client_half_closed = expired
