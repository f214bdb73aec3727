"""How much users and routes may be asked, as the log says it; what keys may is said with the keys."""

from dataclasses import dataclass, field

from modelyard_contracts.access import NO_LIMITS, RateLimits
from modelyard_contracts.events import RouteDeleted, RouteLimitsChanged, UserDeleted, UserLimitsChanged

AllowanceEvent = RouteDeleted | RouteLimitsChanged | UserDeleted | UserLimitsChanged


@dataclass
class Allowances:
    """Only those that have any limit."""

    of_user: dict[int, RateLimits] = field(default_factory=dict)
    of_route: dict[int, RateLimits] = field(default_factory=dict)

    def apply(self, event: AllowanceEvent) -> None:
        match event:
            case UserLimitsChanged():
                _put(self.of_user, event.user_id, event.limits)
            case RouteLimitsChanged():
                _put(self.of_route, event.route_id, event.limits)
            case UserDeleted():
                self.of_user.pop(event.user_id, None)
            case RouteDeleted():
                self.of_route.pop(event.route_id, None)


def _put(among: dict[int, RateLimits], ident: int, limits: RateLimits) -> None:
    if limits == NO_LIMITS:
        among.pop(ident, None)
    else:
        among[ident] = limits
