"""Deployments as `/v2/models` shows them."""

from typing import Any

from modelyard_contracts.base import Aggregate
from modelyard_contracts.deployments import Category, DeploymentSpec
from modelyard_contracts.events import (
    DeploymentDeleted,
    DeploymentFileChosen,
    DeploymentRequested,
    DeploymentScaled,
    DeploymentUpdated,
    model_number,
)
from modelyard_contracts.models import ModelFormat, at_file, coordinates_of
from modelyard_eventlog.log import AnyRecorded
from modelyard_models.backends import default_backend

from modelyard_api.projections.model_facts import meta_of
from modelyard_api.projections.rows import (
    BASE_SORTABLE,
    Fold,
    MaskEnv,
    ReadModel,
    Row,
    View,
    affected,
    changed,
    created,
    removed,
    table_of,
)

MODELS = ReadModel(
    resource="models",
    aggregate=Aggregate.DEPLOYMENT,
    id_field="deployment_id",
    columns={
        "name": "text",
        "source": "text",
        "cluster_id": "int",
        "backend": "text",
        "replicas": "int",
        "ready_replicas": "int",
        "categories": "texts",
    },
    sortable=BASE_SORTABLE | {"name", "source", "cluster_id", "replicas", "ready_replicas"},
)
TABLE = table_of(MODELS)


NOT_CHOSEN: View = {"model_file": None, "model_file_reason": None}
"""Whatever GGUF model its spec names is served."""


def fold_with(mask_env: MaskEnv) -> Fold:
    """The fold; `mask_env` turns sealed environment values into what may be shown."""

    def spec_view(spec: DeploymentSpec) -> View:
        return {**spec.model_dump(mode="json"), "env": mask_env(spec.env), "meta": {}, **NOT_CHOSEN}

    def fold(event: AnyRecorded, row: Row | None) -> Row | None:
        data = event.data
        if isinstance(data, DeploymentRequested):
            view = {
                "name": data.name,
                "cluster_id": data.cluster_id,
                "replicas": data.replicas,
                "ready_replicas": 0,
                **spec_view(data.spec),
            }
            return created(event, data.deployment_id, view, _given(data.spec))
        if row is None:
            return None
        if isinstance(data, DeploymentUpdated):
            return changed(event, row, {"name": data.name, **spec_view(data.spec)}, _given(data.spec))
        if isinstance(data, DeploymentScaled):
            return changed(event, row, {"replicas": data.replicas})
        if isinstance(data, DeploymentDeleted):
            return removed(event, row)
        raise TypeError(f"{event.type} is no event of a deployment")

    return fold


def fold_choice(event: AnyRecorded, row: Row | None, looked_at: str | None) -> Row | None:
    """The deployment once one of the GGUF models in its repository was chosen; `looked_at` is the one that
    the first look was about."""
    data: DeploymentFileChosen = event.data
    if row is None:
        return None
    view = {"model_file": data.file, "model_file_reason": data.message}
    at = data.coordinates if data.file == looked_at else at_file(data.coordinates, data.file)
    return affected(event, row, view, {**row.hidden, "model_facts_id": model_number(at.model_id())})


def with_ready(event: AnyRecorded, row: Row, change: int) -> Row:
    """The deployment after `change` more of its instances run."""
    return affected(event, row, {"ready_replicas": row.view["ready_replicas"] + change})


def _given(spec: DeploymentSpec) -> dict[str, Any]:
    """Which model it is of, and what its operator left open."""
    return {
        "model_facts_id": model_number(coordinates_of(spec).model_id()),
        "categories_open": not spec.categories,
        "backend_open": spec.backend is None,
    }


def with_facts(event: AnyRecorded, row: Row, facts: View) -> Row:
    """The deployment once its model is known; what its operator said stays."""
    view: View = {"meta": meta_of(facts)}
    if row.hidden["categories_open"]:
        view["categories"] = [facts["category"]]
    if row.hidden["backend_open"]:
        chosen = default_backend(ModelFormat(facts["format"]), Category(facts["category"]))
        view["backend"] = chosen.value
    return affected(event, row, view)
