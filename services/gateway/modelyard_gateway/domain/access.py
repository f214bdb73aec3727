"""Who is calling, and which models they may call."""

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from modelyard_runtime import keys

from modelyard_gateway.domain.keys import ANONYMOUS, Key
from modelyard_gateway.domain.refusals import Refusal, model_not_allowed, out_of_scope, unauthenticated

NOBODY = "0" * 64
"""Compared against where the access key is unknown, so that this takes as long as a wrong secret."""

HELP = "Send an API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'."


class Presented(NamedTuple):
    """A key as a request showed it: its public half, and the hash of its secret."""

    access_key: str
    secret_hash: str


MALFORMED = Presented("", "")


def presented(authorization: bytes, x_api_key: bytes) -> Presented | None:
    """The key a request came with; a bearer token beats `X-API-Key`. `MALFORMED` if it is none."""
    scheme, _, credentials = authorization.decode("latin-1").strip().partition(" ")
    text = credentials.strip() if scheme.lower() == "bearer" else ""
    text = text or x_api_key.decode("latin-1").strip()
    if not text:
        return None
    key = keys.parse(text)
    return MALFORMED if key is None else Presented(key.access_key, keys.hash_secret(key))


def authenticate(
    shown: Presented | None, known: Mapping[str, Key], now: Callable[[], datetime]
) -> Key | Refusal:
    """In constant time for whatever secret."""
    if shown is None:
        return no_key()
    if shown is MALFORMED:
        return unauthenticated(f"The API key is malformed. {HELP}")
    key = known.get(shown.access_key)
    matches = hmac.compare_digest(shown.secret_hash, NOBODY if key is None else key.secret_hash)
    if key is None or not matches:
        return unauthenticated("The API key is wrong or has been revoked.")
    if key.expires_at is not None and key.expires_at <= now():
        return unauthenticated("The API key has expired.")
    if not key.may_infer:
        return out_of_scope()
    return key


def no_key() -> Refusal:
    return unauthenticated(f"No API key was given. {HELP}")


def not_allowed(key: Key, model_name: str) -> Refusal:
    return no_key() if key.key_id == ANONYMOUS else model_not_allowed(model_name)


def may_call(key: Key, model_name: str) -> bool:
    return key.allowed_model_names is None or model_name in key.allowed_model_names
