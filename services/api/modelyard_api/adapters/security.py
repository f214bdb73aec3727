"""Passwords by Argon2id, the workers' NATS credentials, and what may be shown of sealed values."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from modelyard_eventlog.credentials import mint_worker_jwt
from modelyard_runtime.clock import Now
from modelyard_runtime.secrets import Sealer, Unsealable

from modelyard_api.domain.deployment import MASK
from modelyard_api.domain.masking import looks_secret

JWT_LIFE = timedelta(hours=24)


class Argon2Passwords:
    """Hashing takes tens of milliseconds, so it runs in a thread."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()

    async def hash(self, password: str) -> str:
        return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str) -> bool:
        try:
            return await asyncio.to_thread(self._hasher.verify, password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


class MintedCredentials:
    def __init__(self, account_seed: str | None, now: Now) -> None:
        self._account_seed = account_seed
        self._now = now

    def mint(self, public_key: str, worker_id: int) -> tuple[str, datetime] | None:
        if self._account_seed is None:
            return None
        expires_at = self._now() + JWT_LIFE
        return mint_worker_jwt(self._account_seed, public_key, worker_id, expires_at), expires_at


def shown_environment(sealed: dict[str, str], sealer: Sealer) -> dict[str, str]:
    """What a view may show of a sealed environment."""
    shown: dict[str, str] = {}
    for name, value in sealed.items():
        shown[name] = MASK
        if not looks_secret(name):
            with suppress(Unsealable):
                shown[name] = sealer.unseal(value)
    return shown
