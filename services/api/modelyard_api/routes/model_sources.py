"""Models at their sources: search, and all that is known of one before anything is downloaded."""

from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from modelyard_contracts.deployments import Source
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_models.sources.errors import SourceError
from modelyard_models.sources.port import Search, Sort
from modelyard_models.sources.views import page_of, view_of, view_of_facts

from modelyard_api.domain.errors import Refusal
from modelyard_api.ports import WorkerPath
from modelyard_api.routes.context import AdminOf, CallerOf, Context, ContextOf, hub_token
from modelyard_api.routes.gguf_choice import Look, choice_view, facts_and_choice
from modelyard_api.routes.hub_tokens import Hub

Json = dict[str, Any]
Page = Annotated[int, Query(ge=1, le=100)]
PerPage = Annotated[int, Query(alias="perPage", ge=1, le=100)]
HubToken = Annotated[str | None, Header(alias="X-Hub-Token", max_length=512)]
"""In place of the token that the caller keeps, and of the configured one; it is not kept."""
Accelerators = Annotated[tuple[str, ...], Query(max_length=16)]
"""Kinds of devices, as workers name them: `cuda`, `cann`, `cpu`."""


def model_source_router() -> APIRouter:
    router = APIRouter(prefix="/v2/model-sources")
    _add_search(router)
    _add_model(router)
    _add_local(router)
    return router


def _add_search(router: APIRouter) -> None:
    @router.get("/{hub}/search")
    async def search(
        hub: Hub,
        context: ContextOf,
        caller: CallerOf,
        search: Annotated[str, Query(max_length=256)] = "",
        sort: Sort = Sort.DOWNLOADS,
        task: Annotated[str | None, Query(max_length=64)] = None,
        format: Annotated[str | None, Query(pattern="^(gguf|safetensors)$")] = None,
        page: Page = 1,
        per_page: PerPage = 20,
        token: HubToken = None,
    ) -> Json:
        wanted = Search(text=search, sort=sort, task=task, format=format, page=page, per_page=per_page)
        token = token or hub_token(context, caller, hub.source())
        return page_of(await context.catalogue.search(hub.source(), wanted, token), wanted)


def _add_model(router: APIRouter) -> None:
    @router.get("/{hub}/models/{repo:path}")
    async def model(
        hub: Hub,
        repo: str,
        context: ContextOf,
        caller: CallerOf,
        revision: Annotated[str | None, Query(max_length=256)] = None,
        file: Annotated[str | None, Query(max_length=512)] = None,
        accelerator: Accelerators = (),
        token: HubToken = None,
    ) -> Json:
        coordinates = ModelCoordinates(source=hub.source(), repo=repo, file=file, revision=revision)
        token = token or hub_token(context, caller, hub.source())

        async def look(at: ModelCoordinates) -> ModelFacts:
            return (await context.catalogue.inspect(at, token)).facts

        inspection = await context.catalogue.inspect(coordinates, token)
        chosen = await _for_the_cluster(context, coordinates, inspection.facts, look)
        return {**view_of(inspection, accelerator), **chosen}


def _add_local(router: APIRouter) -> None:
    @router.get("/local")
    async def local(
        context: ContextOf, _: AdminOf, path: Annotated[str, Query(min_length=1, max_length=4096)]
    ) -> Json:
        coordinates = ModelCoordinates(source=Source.LOCAL_PATH, repo=path)

        async def look(at: ModelCoordinates) -> ModelFacts | None:
            try:
                return (await context.catalogue.inspect(at)).facts
            except SourceError:
                _, answer = await _of_workers(context, at.repo)
                return answer.facts if answer else None

        try:
            inspection = await context.catalogue.inspect(coordinates)
        except SourceError as error:
            said, answer = await _of_workers(context, path)
            if answer is None or answer.facts is None:
                lines = (f"path: nobody can read a model at {path}", str(error), *said)
                raise Refusal(404, "NotFound", "\n".join(lines)) from error
            view, facts = {"id": path, **view_of_facts(answer.facts), "worker": answer.worker}, answer.facts
        else:
            view, facts = {**view_of(inspection), "worker": None}, inspection.facts
        return {**view, **await _for_the_cluster(context, coordinates, facts, look)}


async def _of_workers(context: Context, path: str) -> tuple[list[str], WorkerPath | None]:
    """The first that has it, and what those said that have not."""
    said: list[str] = []
    async with aclosing(context.paths.as_answered(path)) as answers:
        async for answer in answers:
            if answer.facts is not None:
                return said, answer
            said.append(f"{answer.worker}: {answer.message}")
    return said, None


async def _for_the_cluster(
    context: Context, coordinates: ModelCoordinates, facts: ModelFacts, look: Look
) -> Json:
    """Which GGUF model would be served here, and what it is; null where nothing is to choose."""
    if not facts.choices:
        return {"model_file": None}
    of_file, chosen = await facts_and_choice(await context.moment(), coordinates, facts, look)
    return {"facts": of_file.model_dump(mode="json"), "model_file": choice_view(chosen)}
