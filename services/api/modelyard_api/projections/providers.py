"""Providers as `/v2/model-providers` shows them: never with their key."""

from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import ProviderChanged, ProviderCreated, ProviderDeleted
from modelyard_eventlog.log import AnyRecorded

from modelyard_api.projections.rows import (
    BASE_SORTABLE,
    ReadModel,
    Row,
    View,
    changed,
    created,
    removed,
    table_of,
)

PROVIDERS = ReadModel(
    resource="model-providers",
    aggregate=Aggregate.PROVIDER,
    id_field="provider_id",
    columns={"name": "text"},
    sortable=BASE_SORTABLE | {"name"},
)
TABLE = table_of(PROVIDERS)


def fold(event: AnyRecorded, row: Row | None) -> Row | None:
    data = event.data
    if isinstance(data, ProviderDeleted):
        return None if row is None else removed(event, row)
    if not isinstance(data, ProviderCreated | ProviderChanged):
        raise TypeError(f"{event.type} is no event of a provider")
    view: View = {
        "name": data.name,
        "base_url": data.base_url,
        "api_key_set": data.sealed_api_key is not None,
        "description": data.description,
    }
    if isinstance(data, ProviderCreated):
        return created(event, data.provider_id, view)
    return None if row is None else changed(event, row, view)
