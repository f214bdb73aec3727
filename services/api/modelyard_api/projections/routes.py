"""Routes and their targets, as `/v2/model-routes` and `/v2/model-route-targets` show them."""

from collections.abc import Callable

from modelyard_contracts.access import NO_LIMITS
from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import RouteChanged, RouteCreated, RouteDeleted, RouteLimitsChanged
from modelyard_eventlog.log import AnyRecorded

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

TARGETS_PER_ROUTE = 1000
"""A target's id says which route it is of: route id times this, plus its place."""

FindDeployment = Callable[[int], Row | None]


def fold(event: AnyRecorded, row: Row | None) -> Row | None:
    data = event.data
    if isinstance(data, RouteDeleted):
        return None if row is None else removed(event, row)
    if isinstance(data, RouteLimitsChanged):
        return None if row is None else changed(event, row, {"limits": data.limits.model_dump()})
    if not isinstance(data, RouteCreated | RouteChanged):
        raise TypeError(f"{event.type} is no event of a route")
    targets = [
        {
            "id": data.route_id * TARGETS_PER_ROUTE + place,
            "name": f"{data.name}-{target.deployment_id}",
            "route_id": data.route_id,
            "route_name": data.name,
            "model_id": target.deployment_id,
            "model_name": None,
            "weight": target.weight,
            "state": "unavailable",
        }
        for place, target in enumerate(data.targets)
    ]
    view: View = {
        "name": data.name,
        "categories": [str(category) for category in data.categories],
        "generic_proxy": data.generic_proxy,
        "created_model_id": data.created_model_id,
        "targets": targets,
        "ready_targets": 0,
    }
    if isinstance(data, RouteCreated):
        return created(event, data.route_id, {**view, "limits": NO_LIMITS.model_dump()})
    return None if row is None else changed(event, row, view)


def with_deployments(event: AnyRecorded, row: Row, find: FindDeployment) -> Row:
    """The route with its targets' names and states as their deployments are now."""
    targets = []
    for target in row.view["targets"]:
        found = find(target["model_id"])
        ready = found is not None and found.view["ready_replicas"] > 0
        name = found.view["name"] if found is not None else target["model_name"]
        targets.append({**target, "model_name": name, "state": "active" if ready else "unavailable"})
    ready_targets = sum(target["state"] == "active" for target in targets)
    return affected(event, row, {"targets": targets, "ready_targets": ready_targets})


def target_ids(row: Row) -> set[int]:
    return {target["model_id"] for target in row.view["targets"]}
