"""Joins through the api's one open door for workers."""

import asyncio
import socket
import ssl

import httpx
import structlog
from modelyard_contracts.join import JoinAnswer, JoinRequest
from pydantic import ValidationError

from modelyard_worker_agent.adapters.identity import IdentityFiles
from modelyard_worker_agent.ports import JoinRefused

logger = structlog.stdlib.get_logger()

FIRST_RETRY_S = 0.3
MOST_RETRY_S = 15.0


class Joiner:
    def __init__(
        self,
        files: IdentityFiles,
        *,
        api: str,
        token: str | None,
        name: str,
        labels: dict[str, str],
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        """`trusted`: whom to believe over TLS, if not just the authorities that are publicly known."""
        self._files = files
        self._api = api
        self._token = token
        self._name = name
        self._labels = labels
        self._verify = trusted or True

    async def join(self) -> JoinAnswer:
        """Asks until the api answers, and keeps the answer. Raises `JoinRefused`."""
        pause_s = FIRST_RETRY_S
        while True:
            try:
                return await self._ask()
            except (httpx.HTTPError, ValidationError) as error:
                logger.warning(
                    "waiting for the api to join", api=self._api, error=str(error) or type(error).__name__
                )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MOST_RETRY_S)

    async def _ask(self) -> JoinAnswer:
        identity = self._files.identity()
        request = JoinRequest(
            name=self._name,
            worker_uuid=identity.worker_uuid,
            public_key=identity.public_key,
            hostname=socket.gethostname(),
            labels=self._labels,
        )
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        async with httpx.AsyncClient(base_url=self._api, timeout=10, verify=self._verify) as client:
            answer = await client.post("/v2/workers", json=request.model_dump(), headers=headers)
        if answer.status_code in (401, 403, 404, 409, 422):
            raise JoinRefused(f"{self._api} refused this worker: {_message(answer)}")
        answer.raise_for_status()
        joined = JoinAnswer.model_validate_json(answer.content)
        self._files.keep(joined)
        return joined


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
