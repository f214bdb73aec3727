"""Looks at model servers over HTTP."""

from collections.abc import Sequence

import httpx

from modelyard_worker_agent.domain.launching import Ask
from modelyard_worker_agent.ports import Listening

ANSWER_S = 60.0
"""For a first request, which may compile kernels."""
NOT_THIS_KIND = frozenset({400, 404, 405, 422, 500, 501})
"""Statuses by which a server says that it serves another kind of request."""


class HttpProbe:
    """`timeout_s`: of a look at health."""

    def __init__(self, client: httpx.AsyncClient, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def healthy(self, at: Listening, path: str | None) -> bool:
        status = await self._status("GET", at, path or "/", None, self._timeout_s)
        return status is not None if path is None else status == 200

    async def answers(self, at: Listening, asks: Sequence[Ask]) -> bool:
        for ask in asks:
            status = await self._status("POST", at, ask.path, ask.body, ANSWER_S)
            if status == 200:
                return True
            if status not in NOT_THIS_KIND:
                return False
        return not asks

    async def _status(
        self, method: str, at: Listening, path: str, body: object, timeout_s: float
    ) -> int | None:
        """None if nothing came in time."""
        try:
            answer = await self._client.request(
                method, f"http://{at.host}:{at.port}{path}", json=body, timeout=timeout_s
            )
        except httpx.HTTPError:
            return None
        return answer.status_code
