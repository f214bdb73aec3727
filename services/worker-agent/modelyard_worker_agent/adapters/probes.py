"""Looks at model servers over HTTP."""

import httpx

from modelyard_worker_agent.ports import Listening


class HttpProbe:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def healthy(self, at: Listening) -> bool:
        return await self._ok("GET", at, "/health", None, 5.0)

    async def answers(self, at: Listening, *, embeddings: bool) -> bool:
        if embeddings:
            return await self._ok("POST", at, "/v1/embeddings", {"input": "ready?"}, 60.0)
        body = {"prompt": "ready?", "max_tokens": 1, "temperature": 0}
        return await self._ok("POST", at, "/v1/completions", body, 60.0)

    async def _ok(self, method: str, at: Listening, path: str, body: object, timeout_s: float) -> bool:
        try:
            answer = await self._client.request(
                method, f"http://{at.host}:{at.port}{path}", json=body, timeout=timeout_s
            )
        except httpx.HTTPError:
            return False
        return answer.status_code == 200
