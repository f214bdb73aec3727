"""Who may come in, and to which route. Everything here raises `Refusal`."""

from modelyard_runtime.clock import Now

from modelyard_gateway.domain import refusals
from modelyard_gateway.domain.access import Presented, authenticate, may_call, no_key, not_allowed
from modelyard_gateway.domain.keys import ANONYMOUS, Key
from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.refusals import Refusal
from modelyard_gateway.domain.table import Route, RoutingTable


class Gate:
    def __init__(self, table: RoutingTable, readiness: Readiness, *, now: Now, retry_after_s: int) -> None:
        self._table = table
        self._readiness = readiness
        self._now = now
        self._retry_after_s = retry_after_s

    def admit(self, shown: Presented | None) -> Key:
        """Fails closed: nobody comes in before the table knows which keys were revoked."""
        if not self._readiness.caught_up:
            raise refusals.not_ready(self._retry_after_s)
        if shown is None and self._table.routes.anonymous is not None:
            return self._table.routes.anonymous
        found = authenticate(shown, self._table.keys.by_access_key, self._now)
        if isinstance(found, Refusal):
            raise found
        return found

    def admit_user(self, shown: Presented | None) -> Key:
        """Not for those who show no key."""
        key = self.admit(shown)
        if key.key_id == ANONYMOUS:
            raise no_key()
        return key

    def is_admin(self, key: Key) -> bool:
        return key.user_id in self._table.admins

    def models(self, key: Key) -> list[Route]:
        """What the key may call, by name. Routes without a target are not listed."""
        found = [
            route
            for route in self._table.routes.by_id.values()
            if route.targets and may_call(key, route.name) and self._table.may_call(key, route)
        ]
        return sorted(found, key=lambda route: route.name)

    def route(self, key: Key, name: str) -> Route:
        names = key.allowed_model_names
        if names is not None and name not in names:
            raise not_allowed(key, name)
        route = self._table.routes.by_name.get(name)
        if route is None:
            raise refusals.model_not_found(name)
        return route if route.only_for is None else self._open(key, route)

    def adapter(self, key: Key, name: str) -> tuple[Route, str] | None:
        """The route and the adapter that `<route>:<adapter>` means, if there is no route of that name."""
        base, colon, adapter = name.rpartition(":")
        if not colon or name in self._table.routes.by_name or base not in self._table.routes.by_name:
            return None
        if not may_call(key, base) and not may_call(key, name):
            raise not_allowed(key, name)
        return self._open(key, self._table.routes.by_name[base]), adapter

    def _open(self, key: Key, route: Route) -> Route:
        if not self._table.may_call(key, route):
            raise refusals.model_not_allowed(route.name)
        return route

    def proxied_route(self, key: Key, name: str) -> Route:
        route = self.route(key, name)
        if not route.generic_proxy:
            raise refusals.proxy_not_enabled(name)
        return route

    def proxied_route_by_id(self, key: Key, route_id: int) -> Route:
        route = self._table.routes.by_id.get(route_id)
        if route is None or not route.generic_proxy:
            raise refusals.route_not_found(route_id)
        if not may_call(key, route.name):
            raise not_allowed(key, route.name)
        return self._open(key, route)
