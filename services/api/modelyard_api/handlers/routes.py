"""Carries out what is asked of routes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import (
    DeploymentDeleted,
    NameClaimed,
    NameReleased,
    ProviderDeleted,
    RouteChanged,
    RouteDeleted,
    UserDeleted,
)
from modelyard_contracts.routing import (
    RouteAccess,
    RouteCreate,
    RouteUpdate,
    TargetsAdd,
    TargetUpdate,
    TargetWish,
)
from modelyard_eventlog.log import EventLog, Write
from modelyard_runtime.clock import Now

from modelyard_api.domain import route as routes
from modelyard_api.domain.errors import invalid, name_taken, not_found
from modelyard_api.domain.route import Route
from modelyard_api.handlers.commanding import Commander, Done, carry_out, check_match, held, load, renamed
from modelyard_api.ports import Directory


@dataclass(frozen=True, slots=True)
class RouteHandler:
    log: EventLog
    directory: Directory
    now: Now

    async def create(self, command: RouteCreate, by: Commander) -> Done:
        await self._check_targets(command.targets)
        await self._check_users("allowed_user_ids", command.allowed_user_ids)
        ident = 0

        async def decide() -> Sequence[Write] | Done:
            nonlocal ident
            name = await held(self.log, Aggregate.ROUTE, command.name)
            if by.made(name.claimed_in) and name.held_by is not None:
                return Done(ident=name.held_by, seq=name.seq)
            if name.held_by is not None:
                raise name_taken("route", command.name)
            ident = max(ident, await self.directory.highest_id(Aggregate.ROUTE)) + 1
            return [
                Write(NameClaimed(kind=Aggregate.ROUTE, name=command.name, claimed_by=ident), name.seq),
                Write(routes.created(command, route_id=ident), 0),
            ]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def update(self, ident: int, command: RouteUpdate, by: Commander, if_match: int | None) -> Done:
        await self._check_targets(command.targets)
        await self._check_users("allowed_user_ids", command.allowed_user_ids)
        return await self._change(ident, lambda state: routes.decide_update(command, state), by, if_match)

    async def set_access(self, ident: int, command: RouteAccess, by: Commander, if_match: int | None) -> Done:
        await self._check_users("users", [user.id for user in command.users])
        return await self._change(ident, lambda state: routes.decide_access(command, state), by, if_match)

    async def add_targets(self, ident: int, command: TargetsAdd, by: Commander) -> Done:
        await self._check_targets(command.targets)
        return await self._change(ident, lambda state: routes.with_more_targets(state, command.targets), by)

    async def update_target(self, target: int, command: TargetUpdate, by: Commander) -> Done:
        """`target` is the id that is shown."""
        ident, own = divmod(target, routes.TARGETS_PER_ROUTE)
        return await self._change(ident, lambda state: routes.with_target(state, own, command), by)

    async def delete_target(self, target: int, by: Commander) -> Done:
        ident, own = divmod(target, routes.TARGETS_PER_ROUTE)
        return await self._change(ident, lambda state: routes.without_target(state, own), by)

    async def _change(
        self,
        ident: int,
        change: Callable[[Route], RouteChanged | None],
        by: Commander,
        if_match: int | None = None,
    ) -> Done:
        async def decide() -> Sequence[Write] | Done:
            state = await self._alive(ident)
            changed = change(state)
            if changed is None:
                return Done(ident=ident, seq=state.seq)
            check_match(state.seq, if_match)
            return [Write(changed, state.seq), *await rename_writes(self.log, state, changed.name)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def delete(self, ident: int, by: Commander, if_match: int | None) -> Done:
        async def decide() -> Sequence[Write] | Done:
            state = await self._alive(ident)
            check_match(state.seq, if_match)
            return [
                Write(RouteDeleted(route_id=ident, name=state.name), state.seq),
                Write(NameReleased(kind=Aggregate.ROUTE, name=state.name, released_by=ident), None),
            ]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def _alive(self, ident: int) -> Route:
        state = await load_route(self.log, ident)
        if state is None or state.deleted:
            raise not_found(f"model route {ident}")
        return state

    async def _check_targets(self, targets: Sequence[TargetWish]) -> None:
        for target in targets:
            if target.model_id is not None:
                events = await load(self.log, Aggregate.DEPLOYMENT, target.model_id)
                if not events or isinstance(events[-1].data, DeploymentDeleted):
                    raise invalid(f"targets: model {target.model_id} does not exist")
            elif target.provider_id is not None:
                events = await load(self.log, Aggregate.PROVIDER, target.provider_id)
                if not events or isinstance(events[-1].data, ProviderDeleted):
                    raise invalid(f"targets: provider {target.provider_id} does not exist")

    async def _check_users(self, field: str, ids: Sequence[int]) -> None:
        for ident in ids:
            events = await load(self.log, Aggregate.USER, ident)
            if not events or isinstance(events[-1].data, UserDeleted):
                raise invalid(f"{field}: user {ident} does not exist")


async def load_route(log: EventLog, ident: int) -> Route | None:
    start: Route | None = None
    return reduce(routes.evolve, await load(log, Aggregate.ROUTE, ident), start)


async def rename_writes(log: EventLog, route: Route, name: str) -> list[Write]:
    """Raises `Refusal` if the name is taken."""
    return await renamed(log, Aggregate.ROUTE, "route", route.route_id, route.name, name)
