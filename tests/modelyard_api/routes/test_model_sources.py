"""Over HTTP to the api, and from it over HTTP to a hub."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hub_server import Hub, hub_server
from modelyard_api.ports import WorkerPath
from modelyard_api.projections.moments import Moment
from modelyard_api.routes.context import Caller, require_user
from modelyard_api.routes.errors import add_error_handlers
from modelyard_api.routes.model_sources import model_source_router
from modelyard_contracts.models import ModelFacts, ModelFormat
from modelyard_models.beside import Beside
from modelyard_models.estimate import estimate
from modelyard_models.layout import Layout, WorkerLayout
from modelyard_models_hub import add_many, catalogue_for, fill


class Workers:
    """Two that know nothing, or one that has a model."""

    facts: ModelFacts | None = None

    async def as_answered(self, path: str) -> AsyncGenerator[WorkerPath, None]:
        yield WorkerPath(worker="w1", found=False, answered=True, message="does not exist here")
        yield WorkerPath(
            worker="w2", found=self.facts is not None, answered=True, message="no", facts=self.facts
        )


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with hub_server() as server:
        fill(server, tmp_path)
        yield server


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def cluster() -> list[Any]:
    """Workers as the read model has them."""
    return []


@pytest.fixture
async def api(
    hub: Hub, tmp_path: Path, workers: Workers, cluster: list[Any]
) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    add_error_handlers(app)
    app.include_router(model_source_router())
    app.dependency_overrides[require_user] = lambda: Caller(user_id=1, is_admin=True)
    catalogue = catalogue_for(hub, tmp_path)

    async def moment() -> Moment:
        return Moment(0, cluster, [], [], [])

    app.state.context = SimpleNamespace(catalogue=catalogue, paths=workers, moment=moment)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client
    catalogue.close()


async def body(api: httpx.AsyncClient, path: str, status: int = 200, token: str = "") -> Any:
    headers = {"X-Hub-Token": token} if token else {}
    response = await api.get(f"/v2/model-sources{path}", headers=headers)
    assert response.status_code == status, response.text
    return response.json()


@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
async def test_models_are_found_by_name(api: httpx.AsyncClient, name: str) -> None:
    found = await body(api, f"/{name}/search?search=tiny&sort=likes&perPage=1")
    assert [item["id"] for item in found["items"]] == ["org/tiny"]
    assert found["pagination"] == {"page": 1, "perPage": 1, "total": 2, "totalPage": 2}


@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
async def test_a_model_is_described_before_it_is_downloaded(api: httpx.AsyncClient, name: str) -> None:
    model = await body(api, f"/{name}/models/org/tiny-gguf?file=*padded*")
    assert model["facts"]["format"] == "gguf"
    assert model["default_backend"] == "llama.cpp"
    assert model["backends"]["llama.cpp"] is None
    assert "gguf" in model["backends"]["vLLM"]
    assert [choice["file"] for choice in model["gguf_files"]] == ["tiny-F32.gguf", "tiny-padded.gguf"]
    assert model["readme"].startswith("# Tiny")
    assert {file["path"] for file in model["files"]} == {"tiny-F32.gguf", "tiny-padded.gguf", "README.md"}


async def test_what_can_run_a_model_depends_on_the_devices(api: httpx.AsyncClient) -> None:
    anywhere = await body(api, "/huggingface/models/org/tiny")
    assert anywhere["backends"]["vLLM"] is None
    assert anywhere["backends"]["MindIE"] is None
    on_cpu = await body(api, "/huggingface/models/org/tiny?accelerator=cpu")
    assert "not on cpu" in on_cpu["backends"]["vLLM"]
    ascend = await body(api, "/huggingface/models/org/tiny?accelerator=cann")
    assert ascend["default_backend"] == "MindIE"


async def test_callers_may_show_a_token_of_their_own(api: httpx.AsyncClient) -> None:
    refused = await body(api, "/huggingface/models/org/gated", 403)
    assert refused["reason"] == "SourceDenied"
    assert "gated" in refused["message"]
    model = await body(api, "/huggingface/models/org/gated", token="hf_open")
    assert model["facts"]["format"] == "safetensors"
    assert "hf_open" not in str(model)


async def test_what_cannot_be_had_is_said_in_the_shape_of_every_refusal(
    api: httpx.AsyncClient, hub: Hub
) -> None:
    missing = await body(api, "/modelscope/models/org/none", 404)
    assert missing["code"] == 404
    assert "org/none" in missing["message"]
    assert (await body(api, "/huggingface/models/a/b/c", 422))["reason"] == "Invalid"
    assert "sort" in (await body(api, "/huggingface/search?sort=size", 422))["message"]
    assert "hub" in (await body(api, "/elsewhere/search", 422))["message"]
    hub.trouble("/api/models/org", status=429, headers={"Retry-After": "900"})
    limited = await api.get("/v2/model-sources/huggingface/models/org/tiny")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "900")
    hub.troubles.clear()
    hub.trouble("/api/models/org", status=502)
    assert (await body(api, "/huggingface/models/org/tiny", 504))["reason"] == "SourceUnreachable"


async def test_a_path_is_looked_for_here_and_then_on_the_workers(
    api: httpx.AsyncClient, tmp_path: Path, workers: Workers
) -> None:
    here = await body(api, f"/local?path={tmp_path}/tiny-F32.gguf")
    assert here["worker"] is None
    assert here["facts"]["gguf"]["metadata"]["general.architecture"] == "llama"
    nowhere = await body(api, "/local?path=/nowhere.gguf", 404)
    assert nowhere["message"].splitlines()[1:] == [
        "/nowhere.gguf does not exist here",
        "w1: does not exist here",
        "w2: no",
    ]
    workers.facts = ModelFacts(location="/nowhere.gguf", format=ModelFormat.GGUF, weight_bytes=7)
    assert (await body(api, "/local?path=/nowhere.gguf"))["worker"] == "w2"


def machine(ram_bytes: int) -> dict[str, Any]:
    return {"id": 1, "name": "w1", "cluster_id": 1, "status": {"memory": {"total": ram_bytes}}}


async def test_the_gguf_file_that_would_be_served_is_the_one_that_the_cluster_has_room_for(
    api: httpx.AsyncClient, hub: Hub, tmp_path: Path, cluster: list[Any]
) -> None:
    directory = tmp_path / "many"
    add_many(hub, directory)
    cluster.append(machine(64 << 30))
    roomy = await body(api, "/huggingface/models/org/many")
    assert roomy["model_file"] == {"file": "m-Q4_K_M.gguf", "reason": "the smallest that loses little"}
    facts = ModelFacts.model_validate(roomy["facts"])
    assert facts.file == "m-Q4_K_M.gguf"
    need = estimate(facts, "llama.cpp", None, [], Layout((WorkerLayout(()),)), Beside())
    cluster[:] = [machine(need.hosts[0].needed_bytes - (2 << 20))]
    for name in ("huggingface", "modelscope"):
        small = await body(api, f"/{name}/models/org/many")
        assert small["model_file"]["file"] == "m-Q2_K.gguf"
        assert "there is none for m-Q4_K_M.gguf" in small["model_file"]["reason"]
        assert small["facts"]["file"] == "m-Q2_K.gguf"
    named = await body(api, "/huggingface/models/org/many?file=*F16*")
    assert named["model_file"] is None
    assert named["facts"]["file"] == "m-F16.gguf"
    local = await body(api, f"/local?path={directory}")
    assert local["model_file"]["file"] == "m-Q2_K.gguf"
