"""Users and their API keys."""

from typing import ClassVar

from modelyard_contracts.access import EVERY_SCOPE, NO_LIMITS, RateLimits, Scope
from modelyard_contracts.base import Aggregate, Contract, Event, Instant, Owner
from modelyard_contracts.deployments import Source


class UserEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.USER
    owner: ClassVar[Owner] = Owner.API
    user_id: int

    def aggregate_id(self) -> str:
        return str(self.user_id)


class UserCreated(UserEvent):
    username: str
    full_name: str | None = None
    is_admin: bool = False
    password_hash: str
    """Argon2id, PHC string."""


class UserPasswordChanged(UserEvent):
    password_hash: str


class UserHubTokenChanged(UserEvent):
    hub: Source
    sealed_token: str | None
    """As environment values are sealed; None: the user keeps none there any more."""


class UserDeleted(UserEvent):
    username: str


class ApiKeyEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.API_KEY
    owner: ClassVar[Owner] = Owner.API
    key_id: int
    user_id: int

    def aggregate_id(self) -> str:
        return str(self.key_id)


class ApiKeyCreated(ApiKeyEvent):
    version: ClassVar[int] = 2
    name: str
    description: str | None = None
    access_key: str
    """The public half, by which the key is looked up: 16 hex digits."""
    secret_hash: str
    """`modelyard_runtime.keys.hash_secret`."""
    expires_at: Instant | None = None
    allowed_model_names: tuple[str, ...] | None = None
    """None allows every model; an empty list allows none."""
    scope: tuple[Scope, ...] = EVERY_SCOPE
    limits: RateLimits = NO_LIMITS


class AllowedModels(Contract):
    names: tuple[str, ...] | None
    """None allows every model; an empty list allows none."""


class ApiKeyChanged(ApiKeyEvent):
    """What changed of it; None: as it was. A renamed route keeps its place in `models`."""

    description: str | None = None
    models: AllowedModels | None = None
    scope: tuple[Scope, ...] | None = None


class ApiKeyRevoked(ApiKeyEvent):
    name: str
