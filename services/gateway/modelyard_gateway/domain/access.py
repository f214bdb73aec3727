"""Who is calling, and which models they may call."""

from collections.abc import Mapping
from datetime import datetime

from modelyard_runtime import keys

from modelyard_gateway.domain.refusals import Refusal, unauthenticated
from modelyard_gateway.domain.table import Key

NOBODY = "0" * 64
"""Compared against where the access key is unknown, so that this takes as long as a wrong secret."""

HELP = "Send an API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'."


def presented_key(authorization: str | None, x_api_key: str | None) -> str | None:
    """The key a request came with; a bearer token beats `X-API-Key`."""
    scheme, _, credentials = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return (x_api_key or "").strip() or None


def authenticate(presented: str | None, known: Mapping[str, Key], now: datetime) -> Key | Refusal:
    if presented is None:
        return unauthenticated(f"No API key was given. {HELP}")
    parsed = keys.parse(presented)
    if parsed is None:
        return unauthenticated(f"The API key is malformed. {HELP}")
    key = known.get(parsed.access_key)
    matches = keys.matches(parsed, key.secret_hash if key else NOBODY)
    if key is None or not matches:
        return unauthenticated("The API key is wrong or has been revoked.")
    if key.expires_at is not None and key.expires_at <= now:
        return unauthenticated("The API key has expired.")
    return key


def may_call(key: Key, model_name: str) -> bool:
    return key.allowed_model_names is None or model_name in key.allowed_model_names
