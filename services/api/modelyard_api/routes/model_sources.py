"""Models at their sources: search, and all that is known of one before anything is downloaded."""

import math
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from modelyard_contracts.deployments import Source
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_models.backends import default_backend
from modelyard_models.sources.errors import SourceError
from modelyard_models.sources.inspecting import Inspection
from modelyard_models.sources.port import Search, Sort

from modelyard_api.domain.errors import Refusal
from modelyard_api.routes.context import AdminOf, CallerOf, Context, ContextOf

Json = dict[str, Any]
Page = Annotated[int, Query(ge=1, le=100)]
PerPage = Annotated[int, Query(alias="perPage", ge=1, le=100)]
HubToken = Annotated[str | None, Header(alias="X-Hub-Token", max_length=512)]
"""The caller's own token at the hub, in place of the configured one; it is not kept."""


class Hub(StrEnum):
    HUGGINGFACE = "huggingface"
    MODELSCOPE = "modelscope"

    def source(self) -> Source:
        return Source.HUGGINGFACE if self is Hub.HUGGINGFACE else Source.MODEL_SCOPE


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
        _: CallerOf,
        search: Annotated[str, Query(max_length=256)] = "",
        sort: Sort = Sort.DOWNLOADS,
        task: Annotated[str | None, Query(max_length=64)] = None,
        format: Annotated[str | None, Query(pattern="^(gguf|safetensors)$")] = None,
        page: Page = 1,
        per_page: PerPage = 20,
        token: HubToken = None,
    ) -> Json:
        wanted = Search(text=search, sort=sort, task=task, format=format, page=page, per_page=per_page)
        found = await context.catalogue.search(hub.source(), wanted, token)
        known = (page - 1) * per_page + len(found.models) + int(found.has_more)
        total = known if found.total is None else found.total
        return {
            "items": [model.model_dump(mode="json") for model in found.models],
            "pagination": {
                "page": page,
                "perPage": per_page,
                "total": total,
                "totalPage": max(math.ceil(total / per_page), 1),
            },
        }


def _add_model(router: APIRouter) -> None:
    @router.get("/{hub}/models/{repo:path}")
    async def model(
        hub: Hub,
        repo: str,
        context: ContextOf,
        _: CallerOf,
        revision: Annotated[str | None, Query(max_length=256)] = None,
        file: Annotated[str | None, Query(max_length=512)] = None,
        token: HubToken = None,
    ) -> Json:
        coordinates = ModelCoordinates(source=hub.source(), repo=repo, file=file, revision=revision)
        return _shown(await context.catalogue.inspect(coordinates, token))


def _add_local(router: APIRouter) -> None:
    @router.get("/local")
    async def local(
        context: ContextOf, _: AdminOf, path: Annotated[str, Query(min_length=1, max_length=4096)]
    ) -> Json:
        coordinates = ModelCoordinates(source=Source.LOCAL_PATH, repo=path)
        try:
            return {**_shown(await context.catalogue.inspect(coordinates)), "worker": None}
        except SourceError as error:
            return await _of_workers(context, path, str(error))


async def _of_workers(context: Context, path: str, here: str) -> Json:
    """What the first worker says that has it. Raises `Refusal` (404) with what each one said."""
    said = [here]
    async with aclosing(context.paths.as_answered(path)) as answers:
        async for answer in answers:
            if answer.facts is not None:
                return {"id": path, **_of_facts(answer.facts), "worker": answer.worker}
            said.append(f"{answer.worker}: {answer.message}")
    raise Refusal(404, "NotFound", "\n".join([f"path: {path} was not found", *said]))


def _shown(inspection: Inspection) -> Json:
    repository = inspection.repository
    return {
        **repository.model_dump(mode="json", exclude={"sizes", "pinned", "file"}),
        **_of_facts(inspection.facts),
        "files": [{"path": path, "size": size} for path, size in sorted(repository.sizes.items())],
        "gguf_files": [choice.model_dump() for choice in inspection.gguf],
        "readme": inspection.readme,
    }


def _of_facts(facts: ModelFacts) -> Json:
    return {
        "facts": facts.model_dump(mode="json"),
        "default_backend": default_backend(facts.format).value,
    }
