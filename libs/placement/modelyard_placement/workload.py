"""Deployments as `POST /v2/models` takes them, each with what a hub would tell, as demands."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from modelyard_contracts.commands import DeploymentCreate
from modelyard_contracts.companions import adapter_at, draft_at
from modelyard_contracts.deployments import DeploymentSpec, PlacementStrategy
from modelyard_contracts.models import ModelCoordinates, ModelFacts, ModelFormat, coordinates_of
from modelyard_contracts.parameters import BadParameters
from modelyard_models.beside import Beside
from modelyard_models.facts import facts_from_files
from modelyard_models.files import BadModel, ModelFiles
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelyard_placement.cluster import BadInput, in_words
from modelyard_placement.demand import Demand, demand_of, unread

ReadSource = Callable[[ModelCoordinates], ModelFacts | None]
"""Reads the metadata of a model at its source. Raises `BadInput`."""


class ModelMetadata(BaseModel):
    """What a hub would tell of a model: its `config.json`, and the size of its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: dict[str, Any] = {}
    weight_bytes: Annotated[int, Field(ge=0)]

    def facts(self, location: str) -> ModelFacts:
        """Raises `BadModel`."""
        found = facts_from_files(
            ModelFiles(
                location=location,
                revision=None,
                sizes={"config.json": 0, "model.safetensors": self.weight_bytes},
                texts={"config.json": json.dumps(self.config).encode()},
            )
        )
        is_gguf = "gguf" in location.lower()
        return found.model_copy(update={"format": ModelFormat.GGUF}) if is_gguf else found


class Metadata(ModelMetadata):
    """And of what runs along with it."""

    draft: ModelMetadata | None = None
    """The draft model of speculative decoding."""
    adapters: tuple[ModelMetadata, ...] = ()
    """Those of `lora_list`."""

    def beside(self) -> Beside:
        """Raises `BadModel`."""
        return Beside(
            adapters=tuple(one.facts("adapter") for one in self.adapters),
            draft=self.draft.facts("draft") if self.draft else None,
        )


def read_workload(
    data: object, read_source: ReadSource, policy: PlacementStrategy | None = None
) -> list[Demand]:
    """The file of `modelyard simulate --workload`. `policy` takes the place of what the deployments say.
    Raises `BadInput`."""
    if not isinstance(data, dict) or not isinstance(data.get("deployments"), list):
        raise BadInput('deployments: must be a list, as in {"deployments": [...]}')
    demands = [
        read_deployment(item, f"deployments.{at}", read_source, policy)
        for at, item in enumerate(data["deployments"])
    ]
    names = [demand.name for demand in demands]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise BadInput(f"deployments.{at}.name: there is another deployment called {name!r}")
    return demands


def read_deployment(
    item: object, where: str, read_source: ReadSource, policy: PlacementStrategy | None = None
) -> Demand:
    """Raises `BadInput`, with every message beginning with `where`."""
    if not isinstance(item, dict):
        raise BadInput(f"{where}: must be an object")
    try:
        metadata = Metadata.model_validate(item["metadata"]) if item.get("metadata") else None
    except ValidationError as error:
        raise BadInput(_prefixed(in_words(error), f"{where}.metadata")) from error
    try:
        said = {key: value for key, value in item.items() if key != "metadata"}
        command = DeploymentCreate.model_validate(said)
    except ValidationError as error:
        raise BadInput(_prefixed(in_words(error), where)) from error
    spec = spec_of(command, policy)
    try:
        facts = metadata.facts(spec.location()) if metadata else read_source(coordinates_of(spec))
        beside = metadata.beside() if metadata else _read_beside(spec, read_source)
        return demand_of(
            command.name,
            spec,
            cluster_id=command.cluster_id,
            model=facts,
            draft=beside.draft,
            adapters=beside.adapters,
            replicas=1 if command.replicas is None else command.replicas,
        )
    except (BadModel, BadParameters, BadInput) as error:
        raise BadInput(_prefixed(str(error), where)) from error


def _read_beside(spec: DeploymentSpec, read_source: ReadSource) -> Beside:
    """Raises `BadInput`."""
    adapters = ((one, adapter_at(spec, one)) for one in spec.lora_list)
    draft = draft_at(spec)
    return Beside(
        adapters=tuple((at and read_source(at)) or unread(one) for one, at in adapters),
        draft=read_source(draft) if draft else None,
    )


def spec_of(command: DeploymentCreate, policy: PlacementStrategy | None = None) -> DeploymentSpec:
    said: Mapping[str, Any] = {
        field: getattr(command, field)
        for field in command.model_fields_set & set(DeploymentSpec.model_fields)
        if getattr(command, field) is not None
    }
    spec = DeploymentSpec.model_validate(said)
    return spec if policy is None else spec.model_copy(update={"placement_strategy": policy})


def _prefixed(message: str, where: str) -> str:
    return "\n".join(f"{where}.{line}" for line in message.splitlines())
