"""Routes: public model names with weighted targets. Ids survive renames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelyard_contracts.deployments import Category
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    RouteChanged,
    RouteCreated,
    RouteDeleted,
    RouteLimitsChanged,
    RouteOptions,
    RouteTarget,
)
from modelyard_contracts.routing import (
    MAX_TARGETS,
    RouteAccess,
    RouteCreate,
    RouteFields,
    RouteUpdate,
    TargetUpdate,
    TargetWish,
)

from modelyard_api.domain.deployment import Deployment
from modelyard_api.domain.errors import invalid, not_found

TARGETS_PER_ROUTE = 1000
"""A target's id says which route it is of: route id times this, plus its own within the route."""


@dataclass(frozen=True, slots=True)
class Route:
    said: RouteChanged
    """As it is, in the words of its events."""
    deleted: bool
    seq: int

    @property
    def route_id(self) -> int:
        return self.said.route_id

    @property
    def name(self) -> str:
        return self.said.name

    @property
    def created_model_id(self) -> int | None:
        return self.said.created_model_id


def evolve(state: Route | None, event: Recorded[Any]) -> Route | None:
    match event.data:
        case RouteCreated() as data:
            return Route(_as_changed(data), deleted=False, seq=event.seq)
        case RouteChanged() as data:
            return Route(data, deleted=False, seq=event.seq)
        case RouteLimitsChanged() if state:
            return replace(state, seq=event.seq)
        case RouteDeleted() if state:
            return Route(state.said, deleted=True, seq=event.seq)
        case _:
            return state


def created(command: RouteCreate, *, route_id: int) -> RouteCreated:
    """Raises `Refusal` (422)."""
    return RouteCreated(
        route_id=route_id,
        name=command.name,
        targets=targets_of(command.targets, ()),
        generic_proxy=command.generic_proxy,
        categories=tuple(command.categories),
        description=command.description,
        meta=command.meta,
        options=_options(command, RouteOptions()),
        access_policy=command.access_policy,
        allowed_user_ids=_users(command.allowed_user_ids),
    )


def created_for(
    deployment_id: int, name: str, *, route_id: int, generic_proxy: bool, categories: tuple[Category, ...]
) -> RouteCreated:
    """The route that a deployment brings along."""
    return RouteCreated(
        route_id=route_id,
        name=name,
        targets=(RouteTarget(deployment_id=deployment_id),),
        generic_proxy=generic_proxy,
        categories=categories,
        created_model_id=deployment_id,
    )


def decide_update(command: RouteUpdate, state: Route) -> RouteChanged | None:
    """Raises `Refusal` (422)."""
    said = command.model_fields_set
    was = state.said
    changed = was.model_copy(
        update={
            "name": command.name or was.name,
            "targets": targets_of(command.targets, was.targets) if "targets" in said else was.targets,
            "generic_proxy": command.generic_proxy if "generic_proxy" in said else was.generic_proxy,
            "categories": tuple(command.categories) if "categories" in said else was.categories,
            "description": command.description if "description" in said else was.description,
            "meta": command.meta if "meta" in said else was.meta,
            "options": _options(command, was.options),
            "access_policy": command.access_policy if "access_policy" in said else was.access_policy,
            "allowed_user_ids": (
                _users(command.allowed_user_ids) if "allowed_user_ids" in said else was.allowed_user_ids
            ),
        }
    )
    return None if changed == was else changed


def decide_access(command: RouteAccess, state: Route) -> RouteChanged | None:
    was = state.said
    changed = was.model_copy(
        update={
            "access_policy": command.access_policy or was.access_policy,
            "allowed_user_ids": _users([user.id for user in command.users]),
        }
    )
    return None if changed == was else changed


def _users(ids: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(set(ids)))


def _options(command: RouteFields, before: RouteOptions) -> RouteOptions:
    said = {
        name: getattr(command, name) for name in RouteOptions.model_fields if name in command.model_fields_set
    }
    return before.model_copy(update=said)


# --- targets ----------------------------------------------------------------------------------------


def targets_of(wishes: Sequence[TargetWish], before: Sequence[RouteTarget]) -> tuple[RouteTarget, ...]:
    """A target that was there before keeps its id. Raises `Refusal` (422) if two are the same."""
    known = {_what(target): target.target_id for target in before}
    found: list[RouteTarget] = []
    for place, wish in enumerate(wishes):
        target = RouteTarget(
            deployment_id=wish.model_id,
            provider_id=wish.provider_id,
            overridden_model_name=wish.overridden_model_name,
            weight=wish.weight,
            fallback_status_codes=_codes(wish.fallback_status_codes),
        )
        if _what(target) in map(_what, found):
            raise invalid(f"targets: number {place + 1} is the same as one before it")
        found.append(target)
    taken = {known[_what(target)] for target in found if _what(target) in known}
    free = (ident for ident in range(TARGETS_PER_ROUTE) if ident not in taken)
    return tuple(
        target.model_copy(
            update={"target_id": known[_what(target)] if _what(target) in known else next(free)}
        )
        for target in found
    )


def _what(target: RouteTarget) -> tuple[int | None, int | None, str | None]:
    return target.deployment_id, target.provider_id, target.overridden_model_name


def _codes(wanted: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(sorted(set(wanted)))


def with_more_targets(state: Route, wishes: Sequence[TargetWish]) -> RouteChanged:
    """Raises `Refusal` (422)."""
    there = [_wish(target) for target in state.said.targets]
    if len(there) + len(wishes) > MAX_TARGETS:
        raise invalid(f"targets: a route has {MAX_TARGETS} at most, and this one {len(there)} already")
    return _with_targets(state, targets_of([*there, *wishes], state.said.targets))


def with_target(state: Route, target_id: int, command: TargetUpdate) -> RouteChanged | None:
    """Raises `Refusal` (404, 422)."""
    was = target_in(state, target_id)
    said = {name: getattr(command, name) for name in command.model_fields_set}
    if said.get("overridden_model_name", "") != "" and was.provider_id is None:
        raise invalid("overridden_model_name: is for targets at a provider")
    update = {name: value for name, value in said.items() if value is not None}
    if "fallback_status_codes" in update:
        update["fallback_status_codes"] = _codes(update["fallback_status_codes"])
    now = was.model_copy(update=update)
    if now == was:
        return None
    if any(_what(now) == _what(other) for other in state.said.targets if other is not was):
        raise invalid("overridden_model_name: the route has that target already")
    return _with_targets(state, tuple(now if other is was else other for other in state.said.targets))


def without_target(state: Route, target_id: int) -> RouteChanged:
    """Raises `Refusal` (404)."""
    gone = target_in(state, target_id)
    return _with_targets(state, tuple(target for target in state.said.targets if target is not gone))


def target_in(state: Route, target_id: int) -> RouteTarget:
    for target in state.said.targets:
        if target.target_id == target_id:
            return target
    raise not_found(f"model route target {state.route_id * TARGETS_PER_ROUTE + target_id}")


def _wish(target: RouteTarget) -> TargetWish:
    return TargetWish(
        model_id=target.deployment_id,
        provider_id=target.provider_id,
        overridden_model_name=target.overridden_model_name,
        weight=target.weight,
        fallback_status_codes=list(target.fallback_status_codes),
    )


def _with_targets(state: Route, targets: tuple[RouteTarget, ...]) -> RouteChanged:
    return state.said.model_copy(update={"targets": targets})


# --- what becomes of deployments --------------------------------------------------------------------


def follow_deployment(
    state: Route, before: Deployment, name: str, generic_proxy: bool, categories: tuple[Category, ...]
) -> RouteChanged | None:
    """What an edit of its deployment means for the route it brought: the name follows as long as nobody
    gave the route another one."""
    was = state.said
    changed = was.model_copy(
        update={
            "name": name if was.name == before.name else was.name,
            "generic_proxy": (
                generic_proxy if generic_proxy != before.spec.generic_proxy else was.generic_proxy
            ),
            "categories": categories if categories != before.spec.categories else was.categories,
        }
    )
    return None if changed == was else changed


def without_deployment(state: Route, deployment_id: int) -> RouteChanged | RouteDeleted:
    """What is left of a route when a deployment it points to goes."""
    was = state.said
    left = tuple(target for target in was.targets if target.deployment_id != deployment_id)
    if not left and was.created_model_id == deployment_id:
        return RouteDeleted(route_id=was.route_id, name=was.name)
    created_model_id = None if was.created_model_id == deployment_id else was.created_model_id
    return was.model_copy(update={"targets": left, "created_model_id": created_model_id})


def _as_changed(data: RouteCreated) -> RouteChanged:
    return RouteChanged(
        route_id=data.route_id,
        name=data.name,
        targets=data.targets,
        generic_proxy=data.generic_proxy,
        categories=data.categories,
        created_model_id=data.created_model_id,
        description=data.description,
        meta=data.meta,
        options=data.options,
        access_policy=data.access_policy,
        allowed_user_ids=data.allowed_user_ids,
    )
