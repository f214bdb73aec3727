"""How much keys, users and routes may be asked. Each says the whole of it; the latest counts."""

from modelyard_contracts.access import RateLimits
from modelyard_contracts.events.accounts import ApiKeyEvent, UserEvent
from modelyard_contracts.events.routes import RouteEvent


class ApiKeyLimitsChanged(ApiKeyEvent):
    limits: RateLimits


class UserLimitsChanged(UserEvent):
    limits: RateLimits


class RouteLimitsChanged(RouteEvent):
    limits: RateLimits
