"""What is known of models, as `/v2/model-facts` shows it, and what it says of deployments and instances."""

from typing import Any

from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import ModelInspected
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_eventlog.log import AnyRecorded

from modelyard_api.projections.rows import BASE_SORTABLE, ReadModel, Row, View, changed, created, table_of

MODEL_FACTS = ReadModel(
    resource="model-facts",
    aggregate=Aggregate.MODEL,
    id_field="number",
    columns={"name": "text", "source": "text", "format": "text", "category": "text"},
    sortable=BASE_SORTABLE | {"name", "source", "format", "category"},
)
TABLE = table_of(MODEL_FACTS)


def fold(event: AnyRecorded, row: Row | None) -> Row | None:
    data: ModelInspected = event.data
    view = _view(data.coordinates, data.facts)
    return created(event, data.number, view) if row is None else changed(event, row, view)


def _view(coordinates: ModelCoordinates, facts: ModelFacts) -> View:
    return {
        "name": coordinates.location(),
        **coordinates.model_dump(mode="json"),
        **facts.model_dump(mode="json", exclude={"location", "config", "gguf", "projector", "revision"}),
        "commit": facts.revision,
    }


def meta_of(view: View) -> dict[str, Any]:
    """What a deployment shows of its model; what is not known is left out."""
    found = {
        "parameters": view["parameters"],
        "active_parameters": view["active_parameters"],
        "n_ctx": view["context_length"],
        "quantization": view["quantization"],
        "languages": view["languages"],
        "modalities": view["modalities"],
        "tools": view["tools"],
        "reasoning": view["reasoning"],
        "license": view["license"],
        "size": view["weight_bytes"],
        "format": view["format"],
        "architectures": view["architectures"],
    }
    return {name: value for name, value in found.items() if value not in (None, [], ())}
