"""Which GGUF model of a repository a deployment would serve on the cluster as it is."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from modelyard_contracts.deployments import Source
from modelyard_contracts.models import (
    ModelCoordinates,
    ModelFacts,
    at_file,
    coordinates_of,
    spec_at,
    with_file,
)
from modelyard_models.gguf_choice import Chosen
from modelyard_placement.choosing import choose, of_model
from modelyard_placement.claims import Sizer
from modelyard_placement.cluster import Cluster, paths_of, read_cluster
from modelyard_placement.demand import Demand, demand_of
from modelyard_placement.index import Index

from modelyard_api.projections.moments import Moment

Json = dict[str, Any]
Look = Callable[[ModelCoordinates], Awaitable[ModelFacts | None]]
"""What a model is found to be at its source. Raises `SourceError`."""
HELD = "scheduled"
"""What holds its claim in the log holds it here, though it failed."""


def cluster_of(moment: Moment, files: list[Json] | None = None) -> Cluster:
    """`files`: where a path was found, if it was asked for."""
    instances = [
        {**view, "state": HELD} if view["state"] == "error" else view
        for view in moment.instances
        if view["worker_id"] is not None
    ]
    told: Json = {"workers": moment.workers, "instances": instances}
    return read_cluster(told if files is None else {**told, "model_files": files})


async def chosen_in(
    cluster: Cluster, demand: Demand, sizer: Sizer, look: Look
) -> tuple[Demand, Chosen | None]:
    """The demand of the model that would be chosen; as it was, and None, where nothing is to choose. Each
    that is chosen is looked at, until the choice stands. Raises `SourceError`."""
    picture, at = cluster.picture(), coordinates_of(demand.spec)
    rooms, paths = Index(picture), paths_of(cluster, picture, demand.spec.local_path)
    seen: dict[str, ModelFacts] = {}
    if demand.model is not None and demand.model.file is not None:
        seen[demand.model.file] = demand.model
    while True:
        chosen = await asyncio.to_thread(choose, rooms, replace(demand, paths=paths), sizer, seen.get)
        if chosen is None:
            return demand, None
        file = chosen.choice.file
        if file in seen:
            return _with_file(of_model(demand, seen[file]), file), chosen
        facts = await look(at_file(at, file))
        if facts is None:
            return demand, chosen
        seen[file] = facts


def _with_file(demand: Demand, file: str) -> Demand:
    """Of a path, workers were asked as it is."""
    if demand.spec.source is Source.LOCAL_PATH:
        return demand
    return replace(demand, spec=with_file(demand.spec, file))


async def facts_and_choice(
    moment: Moment, coordinates: ModelCoordinates, facts: ModelFacts, look: Look
) -> tuple[ModelFacts, Chosen | None]:
    """What is known of the model that a deployment of these coordinates would serve, with nothing else said
    of it. Raises `SourceError`."""
    demand = demand_of("looked-at", spec_at(coordinates), model=facts)
    demand, chosen = await chosen_in(cluster_of(moment), demand, Sizer(), look)
    return demand.model or facts, chosen


def choice_view(chosen: Chosen | None) -> Json | None:
    return None if chosen is None else {"file": chosen.choice.file, "reason": chosen.why}
