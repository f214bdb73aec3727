"""What an API key is good for, and how much may be asked."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelyard_contracts.base import Contract


class Scope(StrEnum):
    INFERENCE = "inference"
    """Calling models, on the gateway."""
    MANAGEMENT = "management"
    """Everything on the api."""


class AccessPolicy(StrEnum):
    """Who may call a route."""

    PUBLIC = "public"
    """Whoever asks, without a key, too."""
    AUTHED = "authed"
    """Every user."""
    ALLOWED_PRINCIPALS = "allowed_principals"
    """The users that it names, and admins."""


EVERY_SCOPE = (Scope.INFERENCE, Scope.MANAGEMENT)

Bound = Annotated[int, Field(ge=1, le=10**15, strict=True)]


class RateLimits(Contract):
    """How much a key, a user or a route may be asked; None: any number. Tokens are those read and those
    made, together."""

    requests_per_minute: Bound | None = None
    tokens_per_minute: Bound | None = None
    concurrency: Bound | None = None
    """Requests that run at the same time."""
    tokens_per_day: Bound | None = None
    """A day of UTC."""


NO_LIMITS = RateLimits()
