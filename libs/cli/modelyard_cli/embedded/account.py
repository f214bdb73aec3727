"""The admin's first password and an API key for commands on this machine."""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
from modelyard_runtime.private_files import write_private

from modelyard_cli.embedded.health import POLL_S, Check, until
from modelyard_cli.embedded.secrets import Secrets
from modelyard_cli.embedded.state import StateDir, read_if_there

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Account:
    key: str | None
    """None if there is none and the first password no longer works, so that none can be made."""
    first_password: str | None
    """None once it has been changed."""


PATIENCE_S = 15.0
"""How long the api may take, once it is ready, to make its first admin and to know its keys."""


async def open_account(api_url: str, state: StateDir, secrets: Secrets) -> Account:
    """Logs in with the first password while it works, and sees to it that there is a key that does.

    Raises `httpx.HTTPError`, TimeoutError.
    """
    async with httpx.AsyncClient(base_url=api_url, trust_env=False, timeout=30) as client:
        session: str | None = None
        kept = key = read_if_there(state.admin_key)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                if kept is not None:
                    await until(partial(_works, client, kept))
                while session is None:
                    session = await _log_in(client, secrets.first_password)
                    if session is None and key is not None:
                        break
                    await asyncio.sleep(POLL_S)
        if session is None:
            state.initial_password.unlink(missing_ok=True)
        if key is None or not await _works(client, key):
            key = await _make_key(client, session) if session is not None else None
            if key is not None:
                write_private(state.admin_key, key + "\n")
        return Account(key, secrets.first_password if session is not None else None)


async def last_event(api_url: str, key: str) -> int:
    """The sequence of the newest event. Raises `httpx.HTTPError`."""
    events = await _events(api_url, key, order="desc")
    return int(events[0]["sequence"]) if events else 0


def worker_ready(api_url: str, key: str, since: int) -> Check:
    """True once an agent that started after `since` can be asked. The worker's state alone would not tell:
    right after a start it may still be what the last run left."""

    async def check() -> bool:
        try:
            return bool(await _events(api_url, key, type="WorkerReady", since=since))
        except httpx.HTTPError:
            return False

    return check


async def _events(api_url: str, key: str, **params: str | int) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=api_url, trust_env=False, timeout=5) as client:
        answer = await client.get("/v2/events", params={**params, "limit": 1}, headers=_bearer(key))
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["items"]
        return found


async def _log_in(client: httpx.AsyncClient, password: str) -> str | None:
    answer = await client.post("/auth/login", json={"username": ADMIN, "password": password})
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return None
    answer.raise_for_status()
    token: str = answer.json()["access_token"]
    return token


async def _works(client: httpx.AsyncClient, key: str) -> bool:
    answer = await client.get("/v2/workers", params={"perPage": 1}, headers=_bearer(key))
    return answer.status_code != httpx.codes.UNAUTHORIZED


async def _make_key(client: httpx.AsyncClient, session: str) -> str:
    body = {"name": f"modelyard up on {socket.gethostname()}", "description": "For commands on that machine."}
    answer = await client.post("/v2/api-keys", json=body, headers=_bearer(session))
    answer.raise_for_status()
    key: str = answer.json()["value"]
    return key


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
