"""Routes: public model names with weighted targets. Ids survive renames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelyard_contracts.commands import RouteCreate, RouteUpdate, TargetWish
from modelyard_contracts.deployments import Category
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    RouteChanged,
    RouteCreated,
    RouteDeleted,
    RouteLimitsChanged,
    RouteTarget,
)

from modelyard_api.domain.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Route:
    route_id: int
    name: str
    targets: tuple[RouteTarget, ...]
    generic_proxy: bool
    categories: tuple[Category, ...]
    created_model_id: int | None
    deleted: bool
    seq: int


def evolve(state: Route | None, event: Recorded[Any]) -> Route | None:
    match event.data:
        case RouteCreated() | RouteChanged() as data:
            return Route(
                route_id=data.route_id,
                name=data.name,
                targets=data.targets,
                generic_proxy=data.generic_proxy,
                categories=data.categories,
                created_model_id=data.created_model_id,
                deleted=False,
                seq=event.seq,
            )
        case RouteLimitsChanged() if state:
            return replace(state, seq=event.seq)
        case RouteDeleted() if state:
            return Route(
                route_id=state.route_id,
                name=state.name,
                targets=(),
                generic_proxy=False,
                categories=(),
                created_model_id=None,
                deleted=True,
                seq=event.seq,
            )
        case _:
            return state


def targets_of(wishes: Sequence[TargetWish]) -> tuple[RouteTarget, ...]:
    return tuple(RouteTarget(deployment_id=wish.model_id, weight=wish.weight) for wish in wishes)


def created(command: RouteCreate, *, route_id: int) -> RouteCreated:
    return RouteCreated(
        route_id=route_id,
        name=command.name,
        targets=targets_of(command.targets),
        generic_proxy=command.generic_proxy,
        categories=tuple(command.categories),
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
    changed = RouteChanged(
        route_id=state.route_id,
        name=command.name or state.name,
        targets=state.targets if command.targets is None else targets_of(command.targets),
        generic_proxy=state.generic_proxy if command.generic_proxy is None else command.generic_proxy,
        categories=state.categories if command.categories is None else tuple(command.categories),
        created_model_id=state.created_model_id,
    )
    return None if changed == _as_changed(state) else changed


def follow_deployment(
    state: Route, before: Deployment, name: str, generic_proxy: bool, categories: tuple[Category, ...]
) -> RouteChanged | None:
    """What an edit of its deployment means for the route it brought: the name follows as long as nobody
    gave the route another one."""
    changed = RouteChanged(
        route_id=state.route_id,
        name=name if state.name == before.name else state.name,
        targets=state.targets,
        generic_proxy=generic_proxy if generic_proxy != before.spec.generic_proxy else state.generic_proxy,
        categories=categories if categories != before.spec.categories else state.categories,
        created_model_id=state.created_model_id,
    )
    return None if changed == _as_changed(state) else changed


def without_deployment(state: Route, deployment_id: int) -> RouteChanged | RouteDeleted:
    """What is left of a route when a deployment it points to goes."""
    left = tuple(target for target in state.targets if target.deployment_id != deployment_id)
    if not left and state.created_model_id == deployment_id:
        return RouteDeleted(route_id=state.route_id, name=state.name)
    created_model_id = None if state.created_model_id == deployment_id else state.created_model_id
    return RouteChanged(
        route_id=state.route_id,
        name=state.name,
        targets=left,
        generic_proxy=state.generic_proxy,
        categories=state.categories,
        created_model_id=created_model_id,
    )


def _as_changed(state: Route) -> RouteChanged:
    return RouteChanged(
        route_id=state.route_id,
        name=state.name,
        targets=state.targets,
        generic_proxy=state.generic_proxy,
        categories=state.categories,
        created_model_id=state.created_model_id,
    )
