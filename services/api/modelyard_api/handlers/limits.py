"""Carries out what is said of how much keys, users and routes may be asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelyard_contracts.access import NO_LIMITS, RateLimits
from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.events import (
    ApiKeyCreated,
    ApiKeyLimitsChanged,
    ApiKeyRevoked,
    RouteDeleted,
    RouteLimitsChanged,
    UserDeleted,
    UserLimitsChanged,
)
from modelyard_eventlog.log import AnyRecorded, EventLog, Write
from modelyard_runtime.clock import Now

from modelyard_api.domain.errors import not_found
from modelyard_api.handlers.commanding import Commander, Done, carry_out, load

GONE = (ApiKeyRevoked, RouteDeleted, UserDeleted)
SAID = (ApiKeyLimitsChanged, RouteLimitsChanged, UserLimitsChanged, ApiKeyCreated)


@dataclass(frozen=True, slots=True)
class LimitsHandler:
    log: EventLog
    now: Now

    async def set_of_key(self, key_id: int, limits: RateLimits, by: Commander) -> Done:
        def changed(events: Sequence[AnyRecorded]) -> Event:
            return ApiKeyLimitsChanged(key_id=key_id, user_id=events[0].data.user_id, limits=limits)

        return await self._set(Aggregate.API_KEY, "API key", key_id, limits, changed, by)

    async def set_of_user(self, user_id: int, limits: RateLimits, by: Commander) -> Done:
        def changed(_: Sequence[AnyRecorded]) -> Event:
            return UserLimitsChanged(user_id=user_id, limits=limits)

        return await self._set(Aggregate.USER, "user", user_id, limits, changed, by)

    async def set_of_route(self, route_id: int, limits: RateLimits, by: Commander) -> Done:
        def changed(_: Sequence[AnyRecorded]) -> Event:
            return RouteLimitsChanged(route_id=route_id, limits=limits)

        return await self._set(Aggregate.ROUTE, "model route", route_id, limits, changed, by)

    async def _set(
        self,
        kind: Aggregate,
        name: str,
        ident: int,
        limits: RateLimits,
        changed: Callable[[Sequence[AnyRecorded]], Event],
        by: Commander,
    ) -> Done:
        async def decide() -> Sequence[Write] | Done:
            events = await load(self.log, kind, ident)
            if not events or isinstance(events[-1].data, GONE):
                raise not_found(f"{name} {ident}")
            said = [event.data.limits for event in events if isinstance(event.data, SAID)]
            if limits == (said[-1] if said else NO_LIMITS):
                return Done(ident=ident, seq=events[-1].seq)
            return [Write(changed(events), events[-1].seq)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)
