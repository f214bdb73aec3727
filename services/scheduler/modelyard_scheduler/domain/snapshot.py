"""The picture as bytes, and back: what a scheduler starts from instead of the first event of the log.

`taken` only notes which values the picture holds, so that `encoded` may run beside decisions. The lines are
JSON: a table's name and some of its rows. Values that thousands of instances share are kept once.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.models import ModelFacts
from modelyard_placement.picture import Holding
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from modelyard_scheduler.domain.deployment import DeploymentState
from modelyard_scheduler.domain.fleet import FleetState
from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.model_file import ModelFileState
from modelyard_scheduler.domain.picture import Choice, Picture
from modelyard_scheduler.domain.worker import WorkerState

AT_ONCE = 200
"""Rows of a line: other threads get their turn after each."""
LEVEL = 1
"""Of compression: the fastest."""

INSTANCES = TypeAdapter(list[InstanceState])
DEPLOYMENTS = TypeAdapter(list[DeploymentState])
WORKERS = TypeAdapter(list[WorkerState])
MODELS = TypeAdapter(list[tuple[str, ModelFacts]])
CHOICES = TypeAdapter(list[tuple[int, Choice]])
HUB_TOKENS = TypeAdapter(list[tuple[tuple[str, Source], str]])
MODEL_FILES = TypeAdapter(list[ModelFileState])
BACKENDS = TypeAdapter(list[InferenceBackend])
SPECS = TypeAdapter(list[DeploymentSpec])
HOLDINGS = TypeAdapter(list[Holding])
FILES = TypeAdapter(list[tuple[int, frozenset[str]]])
FLEET = TypeAdapter(FleetState)


class Unreadable(Exception):
    """These bytes are no snapshot of such a picture."""


@dataclass(frozen=True, slots=True)
class Taken:
    position: int
    highest_instance_id: int
    fleet: FleetState
    specs: tuple[DeploymentSpec, ...]
    deployments: tuple[DeploymentState, ...]
    instances: tuple[InstanceState, ...]
    leftovers: tuple[InstanceState, ...]
    workers: tuple[WorkerState, ...]
    holdings: tuple[Holding, ...]
    models: tuple[tuple[str, ModelFacts], ...]
    choices: tuple[tuple[int, Choice], ...]
    hub_tokens: tuple[tuple[tuple[str, Source], str], ...]
    model_files: tuple[ModelFileState, ...]
    there: tuple[tuple[int, frozenset[str]], ...]
    counted: tuple[tuple[int, frozenset[str]], ...]
    backends: tuple[InferenceBackend, ...]


def taken(picture: Picture) -> Taken:
    rooms = picture.rooms.everyone()
    deployments, instances = tuple(picture.deployments.values()), tuple(picture.instances.values())
    leftovers = tuple(picture.leftovers.values())
    specs = [*(state.spec for state in deployments), *(state.spec for state in (*instances, *leftovers))]
    return Taken(
        position=picture.position,
        highest_instance_id=picture.highest_instance_id,
        fleet=picture.fleet,
        specs=tuple({id(spec): spec for spec in specs}.values()),
        deployments=deployments,
        instances=instances,
        leftovers=leftovers,
        workers=tuple(picture.workers.values()),
        holdings=tuple(holding for room in rooms for holding in room.holdings.values()),
        models=tuple(picture.models.items()),
        choices=tuple(picture.choices.items()),
        hub_tokens=tuple(picture.hub_tokens.items()),
        model_files=tuple(picture.model_files.values()),
        there=tuple(picture.disks.there.items()),
        counted=tuple(picture.disks.counted.items()),
        backends=tuple(picture.backends.values()),
    )


def encoded(snapshot: Taken) -> bytes:
    return zlib.compress(b"\n".join(_lines(snapshot)), LEVEL)


def _lines(snapshot: Taken) -> Iterator[bytes]:
    at = {id(spec): number for number, spec in enumerate(snapshot.specs)}
    tables: dict[str, Iterable[Any]] = {
        "specs": snapshot.specs,
        "deployments": (_deployment_row(state, at) for state in snapshot.deployments),
        "instances": (_instance_row(state, at) for state in snapshot.instances),
        "leftovers": (_instance_row(state, at) for state in snapshot.leftovers),
        "workers": snapshot.workers,
        "holdings": snapshot.holdings,
        "models": snapshot.models,
        "choices": snapshot.choices,
        "hub_tokens": snapshot.hub_tokens,
        "model_files": snapshot.model_files,
        "files": snapshot.there,
        "counted": snapshot.counted,
        "backends": snapshot.backends,
    }
    yield to_json(["picture", [snapshot.position, snapshot.highest_instance_id, snapshot.fleet]])
    for name, rows in tables.items():
        some: list[Any] = []
        for row in rows:
            some.append(row)
            if len(some) == AT_ONCE:
                yield to_json([name, some], fallback=dict)
                some = []
        yield to_json([name, some], fallback=dict)


def _deployment_row(state: DeploymentState, at: Mapping[int, int]) -> dict[str, Any]:
    """With the place of its spec among the specs."""
    row = {field.name: getattr(state, field.name) for field in fields(state)}
    return {**row, "spec": at[id(state.spec)]}


def _instance_row(state: InstanceState, at: Mapping[int, int]) -> dict[str, Any]:
    return {**state._asdict(), "spec": at[id(state.spec)]}


def decoded(data: bytes) -> Picture:
    """Raises `Unreadable`."""
    try:
        return _picture(_tables(zlib.decompress(data)))
    except (zlib.error, ValueError, LookupError, TypeError) as error:
        raise Unreadable(str(error)) from error


def _tables(lines: bytes) -> dict[str, list[Any]]:
    tables: dict[str, list[Any]] = defaultdict(list)
    for line in lines.split(b"\n"):
        name, rows = from_json(line)
        tables[name] += rows
    return tables


def _picture(tables: Mapping[str, list[Any]]) -> Picture:
    picture = Picture()
    picture.position, picture.highest_instance_id, fleet = tables["picture"]
    picture.fleet = FLEET.validate_python(fleet)
    specs = SPECS.validate_python(tables["specs"])
    deployments = DEPLOYMENTS.validate_python(_with_specs(tables["deployments"], specs))
    picture.deployments = {state.deployment_id: state for state in deployments}
    instances = INSTANCES.validate_python(_with_specs(tables["instances"], specs))
    picture.instances = {state.instance_id: state for state in instances}
    leftovers = INSTANCES.validate_python(_with_specs(tables["leftovers"], specs))
    picture.leftovers = {state.instance_id: state for state in leftovers}
    picture.workers = {state.worker_id: state for state in WORKERS.validate_python(tables["workers"])}
    picture.models = dict(MODELS.validate_python(tables["models"]))
    picture.choices = dict(CHOICES.validate_python(tables["choices"]))
    picture.hub_tokens = dict(HUB_TOKENS.validate_python(tables["hub_tokens"]))
    files = MODEL_FILES.validate_python(tables["model_files"])
    picture.model_files = {state.file_id: state for state in files}
    picture.disks.there = dict(FILES.validate_python(tables["files"]))
    picture.disks.counted = dict(FILES.validate_python(tables["counted"]))
    picture.backends = {one.backend_name: one for one in BACKENDS.validate_python(tables["backends"])}
    picture.reindex(HOLDINGS.validate_python(tables["holdings"]))
    return picture


def _with_specs(rows: Iterable[dict[str, Any]], specs: Sequence[DeploymentSpec]) -> list[dict[str, Any]]:
    return [{**row, "spec": specs[row["spec"]]} for row in rows]
