"""Public model names and where they lead."""

from enum import StrEnum
from typing import Any, ClassVar

from modelyard_contracts.access import AccessPolicy
from modelyard_contracts.base import Aggregate, Contract, Event, Owner
from modelyard_contracts.deployments import Category


class FallbackStatus(StrEnum):
    """When a target that others fall back to is asked."""

    TOO_MANY = "4xx"
    """Too many requests (429); no other 4xx, which is the client's own."""
    FAILED = "5xx"
    """No instance, no connection, no answer in time, or an answer of 500 and more."""


class Affinity(StrEnum):
    """What requests have in common that should meet at one instance."""

    NONE = "none"
    PREFIX = "prefix"
    """The beginning of the prompt."""
    SESSION = "session"
    """What the client says its session is."""


class RouteTarget(Contract):
    """Exactly one of a deployment and a provider.

    `target_id` is its own within the route. With `fallback_status_codes` it takes no share of the requests:
    it is asked, in the order of the route's targets, when those before it could not answer.
    """

    target_id: int = 0
    deployment_id: int | None = None
    provider_id: int | None = None
    overridden_model_name: str | None = None
    """What the provider calls the model."""
    weight: int = 100
    fallback_status_codes: tuple[FallbackStatus, ...] = ()


class RouteOptions(Contract):
    """How a route treats its requests. None: as the gateway is set."""

    connect_timeout_s: float | None = None
    first_byte_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    total_timeout_s: float | None = None
    max_running_requests: int | None = None
    """Of each instance; more wait in the queue."""
    queue_size: int | None = None
    queue_timeout_s: float | None = None
    affinity: Affinity = Affinity.NONE
    affinity_load_bound: float = 1.25
    """An instance with more than this times the mean load is passed over for the next."""


class RouteEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.ROUTE
    owner: ClassVar[Owner] = Owner.API
    route_id: int

    def aggregate_id(self) -> str:
        return str(self.route_id)


class RouteCreated(RouteEvent):
    version: ClassVar[int] = 3
    name: str
    targets: tuple[RouteTarget, ...]
    generic_proxy: bool
    categories: tuple[Category, ...] = ()
    created_model_id: int | None = None
    """The deployment that brought this route, which goes when it goes."""
    description: str | None = None
    meta: dict[str, Any] = {}
    options: RouteOptions = RouteOptions()
    access_policy: AccessPolicy = AccessPolicy.AUTHED
    allowed_user_ids: tuple[int, ...] = ()
    """Of `ALLOWED_PRINCIPALS`."""


class RouteChanged(RouteEvent):
    version: ClassVar[int] = 3
    name: str
    targets: tuple[RouteTarget, ...]
    generic_proxy: bool
    categories: tuple[Category, ...] = ()
    created_model_id: int | None = None
    description: str | None = None
    meta: dict[str, Any] = {}
    options: RouteOptions = RouteOptions()
    access_policy: AccessPolicy = AccessPolicy.AUTHED
    allowed_user_ids: tuple[int, ...] = ()
    """Of `ALLOWED_PRINCIPALS`."""


class RouteDeleted(RouteEvent):
    name: str
