"""What callers may ask of routes, their targets and providers over REST.

An update changes the fields that are present and leaves the others as they are.
"""

import re
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, field_validator, model_validator

from modelyard_contracts.access import AccessPolicy
from modelyard_contracts.commands import Command, PlainName, Text
from modelyard_contracts.deployments import Category
from modelyard_contracts.events import Affinity, FallbackStatus

ROUTE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
URL_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
API_KEY = re.compile(r"[\x21-\x7e]{1,4096}")
MAX_TARGETS = 100
MAX_USERS = 10_000

RouteName = Annotated[str, StringConstraints(pattern=ROUTE_NAME)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f]+$")]
Weight = Annotated[int, Field(ge=0, le=10_000)]
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]


Users = Annotated[list[int], Field(max_length=MAX_USERS)]


class TargetFields(Command):
    weight: Weight = 100
    overridden_model_name: ModelName | None = None
    fallback_status_codes: list[FallbackStatus] = []


class TargetWish(TargetFields):
    model_id: int | None = None
    provider_id: int | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.model_id is None) == (self.provider_id is None):
            raise ValueError("exactly one of model_id and provider_id is needed")
        if self.provider_id is not None and self.overridden_model_name is None:
            raise ValueError("overridden_model_name: is required for a provider: what it calls the model")
        if self.model_id is not None and self.overridden_model_name is not None:
            raise ValueError(
                "overridden_model_name: is for providers; adapters are called as <route>:<adapter>"
            )
        return self


class TargetUpdate(Command):
    weight: Weight | None = None
    overridden_model_name: ModelName | None = None
    fallback_status_codes: list[FallbackStatus] | None = None


class TargetsAdd(Command):
    targets: Annotated[list[TargetWish], Field(min_length=1, max_length=MAX_TARGETS)]


class FallbackSet(Command):
    fallback_status_codes: list[FallbackStatus] = list(FallbackStatus)


class RouteOptionFields(Command):
    """In an update, null gives an option back to the gateway's own setting."""

    connect_timeout_s: Seconds | None = None
    first_byte_timeout_s: Seconds | None = None
    idle_timeout_s: Seconds | None = None
    total_timeout_s: Seconds | None = None
    max_running_requests: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    queue_size: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    queue_timeout_s: Seconds | None = None
    affinity: Affinity = Affinity.NONE
    affinity_load_bound: Annotated[float, Field(ge=1, le=100)] = 1.25


class RouteFields(RouteOptionFields):
    targets: Annotated[list[TargetWish], Field(max_length=MAX_TARGETS)] = []
    generic_proxy: bool = False
    categories: list[Category] = []
    description: Text | None = None
    meta: dict[str, Any] = {}
    access_policy: AccessPolicy = AccessPolicy.AUTHED
    allowed_user_ids: Users = []


class RouteCreate(RouteFields):
    name: RouteName


class RouteUpdate(RouteFields):
    name: RouteName | None = None


class UserRef(Command):
    id: int


class RouteAccess(Command):
    """Who may call a route, as a whole."""

    access_policy: AccessPolicy | None = None
    """None: as it was."""
    users: Annotated[list[UserRef], Field(max_length=MAX_USERS)] = []


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be like https://api.example.com/v1")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("must hold no credentials, query or fragment; the key goes into api_key")
    if URL_PATH.fullmatch(parts.path) is None or not url.isascii():
        raise ValueError("holds characters that a URL may not")
    _ = parts.port  # raises ValueError if it is none
    return url.rstrip("/")


BaseUrl = Annotated[str, StringConstraints(max_length=1024), AfterValidator(_base_url)]


class ProviderFields(Command):
    api_key: SecretStr | None = None
    description: Text | None = None

    @field_validator("api_key")
    @classmethod
    def _can_be_sent(cls, key: SecretStr | None) -> SecretStr | None:
        """It becomes a header."""
        if key is not None and API_KEY.fullmatch(key.get_secret_value()) is None:
            raise ValueError("must be of visible ASCII characters")
        return key


class ProviderCreate(ProviderFields):
    name: PlainName
    base_url: BaseUrl


class ProviderUpdate(ProviderFields):
    name: PlainName | None = None
    base_url: BaseUrl | None = None
