"""Whether deployments would fit, before they are made: by the scheduler's rules, now or at a past moment."""

import asyncio
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from modelyard_contracts.base import Instant
from modelyard_contracts.commands import Command
from modelyard_contracts.companions import companions_of
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.models import ModelCoordinates, ModelFacts, coordinates_of
from modelyard_models.sources.errors import SourceError
from modelyard_placement.claims import Sizer
from modelyard_placement.cluster import BadInput
from modelyard_placement.demand import Demand
from modelyard_placement.evaluation import evaluate, evaluation_view, failed_view
from modelyard_placement.picture import READY
from modelyard_placement.workload import read_deployment
from pydantic import Field

from modelyard_api.projections.moments import Moment, Past
from modelyard_api.routes.context import Caller, CallerOf, Context, ContextOf, hub_token
from modelyard_api.routes.gguf_choice import choice_view, chosen_in, cluster_of

Json = dict[str, Any]
CATALOGUE_ONLY = frozenset({"quantization", "mode", "gpu_filters"})
"""Fields of a catalogue's entries, which say nothing of placement."""


class EvaluationRequest(Command):
    cluster_id: int | None = None
    """None: every cluster is tried."""
    model_specs: Annotated[list[Json], Field(min_length=1, max_length=50)]
    """As `POST /v2/models` takes them; the name may be left out, `metadata` may stand for what a hub says."""


def model_evaluation_router() -> APIRouter:
    router = APIRouter(prefix="/v2")
    past = Past()

    @router.post("/model-evaluations")
    async def evaluate_models(
        request: EvaluationRequest,
        context: ContextOf,
        caller: CallerOf,
        at: Annotated[Instant | None, Query(description="A moment that is past; none: now.")] = None,
    ) -> Json:
        moment = await (context.moment() if at is None else past.at(context.db, at))
        sizer = Sizer()
        results = [
            await _evaluated(context, caller, moment, request.cluster_id, spec, sizer)
            for spec in request.model_specs
        ]
        return {"results": results, "seq": moment.seq}

    return router


async def _evaluated(
    context: Context, caller: Caller, moment: Moment, cluster_id: int | None, spec: Json, sizer: Sizer
) -> Json:
    said = {key: value for key, value in spec.items() if key not in CATALOGUE_ONLY}
    said.setdefault("name", "evaluated")
    wanted = cluster_id if cluster_id is not None else said.get("cluster_id")
    idents = [wanted] if wanted is not None else [one["id"] for one in moment.clusters]

    async def look(at: ModelCoordinates) -> ModelFacts | None:
        return (await _looked_at(context, caller, at))[0]

    try:
        demand = read_deployment(said, "model_specs", lambda _: None)
        files = None
        if demand.model is None:
            demand, files = await _described(context, caller, demand, said)
        if demand.spec.source is not Source.LOCAL_PATH:
            files = _of_hubs(moment)
        elif files is not None:
            files = _of_that_moment(moment, demand.spec.local_path or "", files)
        cluster = cluster_of(moment, files)
        chosen = {
            ident: await chosen_in(cluster, replace(demand, cluster_id=ident), sizer, look)
            for ident in idents
        }
    except (BadInput, SourceError) as error:
        return failed_view(str(error), spec)
    found = await asyncio.to_thread(evaluate, cluster, [one for one, _ in chosen.values()], sizer)
    view = evaluation_view(found, spec)
    _, choice = chosen.get(view["cluster_id"], (demand, None))
    return {**view, "model_file": choice_view(choice)}


async def _described(
    context: Context, caller: Caller, demand: Demand, said: Json
) -> tuple[Demand, list[Json] | None]:
    """With what the sources of its models say, and where its own files are if that is known.

    Raises `BadInput`, `SourceError`."""
    own = coordinates_of(demand.spec)
    facts, files = await _looked_at(context, caller, own)
    known = {own.model_id(): facts, **await _companions(context, caller, demand.spec)}
    return read_deployment(said, "model_specs", lambda at: known.get(at.model_id())), files


async def _companions(context: Context, caller: Caller, spec: DeploymentSpec) -> dict[str, ModelFacts]:
    """Its adapters and its draft model, by id. Raises `BadInput`, naming the field."""
    found: dict[str, ModelFacts] = {}
    for field, coordinates in companions_of(spec):
        try:
            facts, _ = await _looked_at(context, caller, coordinates)
        except SourceError as error:
            raise BadInput(f"model_specs.{field}: {error}") from error
        if facts is None:
            raise BadInput(f"model_specs.{field}: no worker has a model at {coordinates.repo}")
        found[coordinates.model_id()] = facts
    return found


async def _looked_at(
    context: Context, caller: Caller, coordinates: ModelCoordinates
) -> tuple[ModelFacts | None, list[Json] | None]:
    """Raises `SourceError`."""
    if coordinates.source is Source.LOCAL_PATH:
        return await _on_workers(context, coordinates.repo)
    token = hub_token(context, caller, coordinates.source)
    return (await context.catalogue.inspect(coordinates, token)).facts, None


async def _on_workers(context: Context, path: str) -> tuple[ModelFacts | None, list[Json]]:
    answers = await context.paths.ask_workers(path)
    files = [
        {"worker_name": one.worker, "local_path": path, "state": READY if one.found else "gone"}
        for one in answers
        if one.answered
    ]
    return next((one.facts for one in answers if one.facts is not None), None), files


def _of_that_moment(moment: Moment, path: str, said: list[Json]) -> list[Json]:
    """What workers say of a path now is taken to have been so; of those that cannot be asked now, that it was
    there. Raises `BadInput` where none could be asked."""
    if not said:
        message = f"model_specs.local_path: no worker is ready to tell of {path}; say metadata instead"
        raise BadInput(message)
    there = {worker["name"] for worker in moment.workers}
    unasked = there - {file["worker_name"] for file in said}
    known = [file for file in said if file["worker_name"] in there]
    return known + [{"worker_name": name, "local_path": path, "state": READY} for name in sorted(unasked)]


def _of_hubs(moment: Moment) -> list[Json]:
    """What workers have of hubs' models; a worker that is gone has nothing."""
    there = {worker["id"] for worker in moment.workers}
    return [file for file in moment.model_files if file["worker_id"] in there]
