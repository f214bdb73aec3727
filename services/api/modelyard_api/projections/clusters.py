"""Clusters as `/v2/clusters` shows them."""

from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import ClusterCreated
from modelyard_eventlog.log import AnyRecorded

from modelyard_api.projections.rows import (
    BASE_SORTABLE,
    ReadModel,
    Row,
    affected,
    created,
    table_of,
)

CLUSTERS = ReadModel(
    resource="clusters",
    aggregate=Aggregate.CLUSTER,
    id_field="cluster_id",
    columns={"name": "text", "is_default": "bool"},
    sortable=BASE_SORTABLE | {"name"},
)
TABLE = table_of(CLUSTERS)

COUNTS = ("workers", "ready_workers", "gpus", "models")


def fold(event: AnyRecorded, row: Row | None) -> Row | None:
    data = event.data
    if not isinstance(data, ClusterCreated):
        raise TypeError(f"{event.type} is no event of a cluster")
    view = {"name": data.name, "description": data.description, "is_default": data.is_default}
    return created(event, data.cluster_id, {**view, **dict.fromkeys(COUNTS, 0)})


def counted(event: AnyRecorded, row: Row, change: dict[str, int]) -> Row:
    """The cluster after so many more (or, below zero, fewer) of each of `COUNTS`."""
    return affected(event, row, {name: row.view[name] + more for name, more in change.items()})
