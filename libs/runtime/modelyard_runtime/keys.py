"""API keys: `modelyard_<access key>_<secret>`.

The secret has 256 random bits, so one keyed BLAKE2b is enough to store it by; a slow hash is for
passwords people choose.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

PREFIX = "modelyard"


@dataclass(frozen=True, slots=True)
class ApiKey:
    access_key: str
    secret: str

    def text(self) -> str:
        """The whole key, which its owner sees once."""
        return f"{PREFIX}_{self.access_key}_{self.secret}"


def generate() -> ApiKey:
    return ApiKey(access_key=secrets.token_hex(8), secret=secrets.token_hex(32))


def parse(text: str) -> ApiKey | None:
    """The key's parts, or None if the text is no API key."""
    parts = text.split("_")
    if len(parts) != 3 or parts[0] != PREFIX or not parts[1] or not parts[2]:
        return None
    return ApiKey(access_key=parts[1], secret=parts[2])


def hash_secret(key: ApiKey) -> str:
    return hashlib.blake2b(key.secret.encode(), key=key.access_key.encode()[:64], digest_size=32).hexdigest()


def matches(key: ApiKey, secret_hash: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(hash_secret(key), secret_hash)
