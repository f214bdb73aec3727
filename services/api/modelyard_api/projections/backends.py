"""Inference backends as `/v2/inference-backends` shows them."""

from modelyard_backends.versions import frameworks_of
from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import InferenceBackendDefined, InferenceBackendDeleted
from modelyard_eventlog.log import AnyRecorded

from modelyard_api.projections.rows import (
    BASE_SORTABLE,
    Fold,
    MaskEnv,
    ReadModel,
    Row,
    View,
    changed,
    created,
    removed,
    table_of,
)

BACKENDS = ReadModel(
    resource="inference-backends",
    aggregate=Aggregate.BACKEND,
    id_field="backend_id",
    columns={"backend_name": "text", "enabled": "bool", "backend_source": "text"},
    sortable=BASE_SORTABLE | {"backend_name"},
)
TABLE = table_of(BACKENDS)


def fold_with(mask_env: MaskEnv) -> Fold:
    """The fold; `mask_env` turns sealed environment values into what may be shown."""

    def fold(event: AnyRecorded, row: Row | None) -> Row | None:
        data = event.data
        if isinstance(data, InferenceBackendDefined):
            view = _view(data.backend, mask_env, is_built_in=data.is_built_in)
            return created(event, data.backend_id, view) if row is None else changed(event, row, view)
        if isinstance(data, InferenceBackendDeleted) and row is not None:
            return removed(event, row)
        return None

    return fold


def _view(backend: InferenceBackend, mask_env: MaskEnv, *, is_built_in: bool) -> View:
    versions = {
        name: {**version.model_dump(mode="json"), "env": mask_env(version.env)}
        for name, version in backend.version_configs.items()
    }
    return {
        **backend.model_dump(mode="json"),
        "default_env": mask_env(backend.default_env),
        "version_configs": versions,
        "versions": list(dict.fromkeys([*filter(None, [backend.default_version]), *versions])),
        "frameworks": sorted(frameworks_of(backend, backend.default_version)),
        "is_built_in": is_built_in,
        "backend_source": "built_in" if is_built_in else "custom",
    }
