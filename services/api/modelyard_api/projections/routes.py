"""Routes and their targets, as `/v2/model-routes` and `/v2/model-route-targets` show them."""

from collections.abc import Callable

from modelyard_contracts.access import NO_LIMITS
from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import (
    RouteChanged,
    RouteCreated,
    RouteDeleted,
    RouteLimitsChanged,
    RouteTarget,
)
from modelyard_eventlog.log import AnyRecorded

from modelyard_api.domain.route import TARGETS_PER_ROUTE
from modelyard_api.projections.rows import (
    BASE_SORTABLE,
    ReadModel,
    Row,
    View,
    affected,
    changed,
    created,
    removed,
    table_of,
)

ROUTES = ReadModel(
    resource="model-routes",
    aggregate=Aggregate.ROUTE,
    id_field="route_id",
    columns={"name": "text", "created_model_id": "int", "ready_targets": "int", "categories": "texts"},
    sortable=BASE_SORTABLE | {"name", "ready_targets"},
)
TABLE = table_of(ROUTES)

FindRow = Callable[[int | None], Row | None]


def fold(event: AnyRecorded, row: Row | None) -> Row | None:
    data = event.data
    if isinstance(data, RouteDeleted):
        return None if row is None else removed(event, row)
    if isinstance(data, RouteLimitsChanged):
        return None if row is None else changed(event, row, {"limits": data.limits.model_dump()})
    if not isinstance(data, RouteCreated | RouteChanged):
        raise TypeError(f"{event.type} is no event of a route")
    view: View = {
        "name": data.name,
        "description": data.description,
        "categories": [str(category) for category in data.categories],
        "meta": data.meta,
        "generic_proxy": data.generic_proxy,
        "created_model_id": data.created_model_id,
        **data.options.model_dump(mode="json"),
        "access_policy": str(data.access_policy),
        "allowed_user_ids": list(data.allowed_user_ids),
        "targets": len(data.targets),
        "ready_targets": 0,
        "route_targets": [_target(data, target) for target in data.targets],
    }
    if isinstance(data, RouteCreated):
        return created(event, data.route_id, {**view, "limits": NO_LIMITS.model_dump()})
    return None if row is None else changed(event, row, view)


def _target(route: RouteCreated | RouteChanged, target: RouteTarget) -> View:
    at = f"provider-{target.provider_id}" if target.deployment_id is None else target.deployment_id
    return {
        "id": route.route_id * TARGETS_PER_ROUTE + target.target_id,
        "name": f"{route.name}-{at}",
        "route_id": route.route_id,
        "route_name": route.name,
        "model_id": target.deployment_id,
        "model_name": None,
        "provider_id": target.provider_id,
        "provider_name": None,
        "overridden_model_name": target.overridden_model_name,
        "weight": target.weight,
        "fallback_status_codes": [str(code) for code in target.fallback_status_codes],
        "state": "unavailable",
    }


def with_names(event: AnyRecorded, row: Row, models: FindRow, providers: FindRow) -> Row:
    """The route with its targets' names and states as their deployments and providers are now."""
    targets = []
    for target in row.view["route_targets"]:
        model, provider = models(target["model_id"]), providers(target["provider_id"])
        names = {
            "model_name": target["model_name"] if model is None else model.view["name"],
            "provider_name": target["provider_name"] if provider is None else provider.view["name"],
        }
        ready = provider is not None or (model is not None and model.view["ready_replicas"] > 0)
        targets.append({**target, **names, "state": "active" if ready else "unavailable"})
    ready_targets = sum(target["state"] == "active" for target in targets)
    return affected(event, row, {"route_targets": targets, "ready_targets": ready_targets})


def target_rows(row: Row) -> set[tuple[Aggregate, int]]:
    """What its targets name."""
    targets = row.view["route_targets"]
    return {
        (Aggregate.DEPLOYMENT, target["model_id"]) for target in targets if target["model_id"] is not None
    } | {
        (Aggregate.PROVIDER, target["provider_id"]) for target in targets if target["provider_id"] is not None
    }
