"""Models of a hub through the running system: looked at, placed, downloaded, served."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from e2e.stack import Json, Stack, chat, running_count, until_instances
from hub_server import Hub
from tiny_gguf import write_tiny_gguf


@pytest.fixture
async def api(stack_of_hub: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with stack_of_hub.client() as client:
        yield client


async def deploy(api: httpx.AsyncClient, repo: str, **fields: object) -> Json:
    wish = {"name": repo.partition("/")[2], "source": "huggingface", "huggingface_repo_id": repo, **fields}
    made = await api.post("/v2/models", json=wish)
    assert made.status_code == 200, made.text
    found: Json = made.json()
    return found


async def events(api: httpx.AsyncClient, kind: str) -> list[Json]:
    found: list[Json] = (await api.get("/v2/events", params={"type": kind})).json()["items"]
    return found


async def test_a_model_of_a_hub_is_looked_at_once_then_downloaded_and_served(
    api: httpx.AsyncClient, stack_of_hub: Stack
) -> None:
    made = await deploy(api, "org/tiny-gguf", huggingface_filename="*F32*", replicas=2)
    await until_instances(api, made["id"], running_count(2))
    (inspected,) = await events(api, "ModelInspected")
    assert inspected["data"]["coordinates"]["repo"] == "org/tiny-gguf"
    model = (await api.get(f"/v2/models/{made['id']}")).json()
    assert model["categories"] == ["llm"]
    assert model["backend"] == "llama.cpp"
    assert model["meta"]["n_ctx"] == 2048
    (facts,) = (await api.get("/v2/model-facts", params={"format": "gguf"})).json()["items"]
    assert facts["name"] == "org/tiny-gguf/*F32*"
    async with stack_of_hub.client(stack_of_hub.gateway_url) as gateway:
        answer = await chat(gateway, "tiny-gguf")
        assert answer.status_code == 200, answer.text


async def test_of_many_files_one_is_chosen_downloaded_and_served(
    api: httpx.AsyncClient, stack_of_hub: Stack, hub: Hub, tmp_path: Path
) -> None:
    kinds = ("Q4_0", "Q8_0", "F16")
    for kind in kinds:
        write_tiny_gguf(tmp_path / f"m-{kind}.gguf", kind)
    hub.add("org/several", {f"m-{kind}.gguf": tmp_path / f"m-{kind}.gguf" for kind in kinds})
    looked_at = (await api.get("/v2/model-sources/huggingface/models/org/several")).json()
    chosen = {"file": "m-Q4_0.gguf", "reason": "the smallest that loses little"}
    assert looked_at["model_file"] == chosen
    made = await deploy(api, "org/several", replicas=1)
    evaluated = {"source": "huggingface", "huggingface_repo_id": "org/several"}
    answer = await api.post("/v2/model-evaluations", json={"model_specs": [evaluated]})
    assert answer.json()["results"][0]["model_file"] == chosen

    (instance,) = await until_instances(api, made["id"], running_count(1))

    assert instance["model_file"] == "m-Q4_0.gguf"
    model = (await api.get(f"/v2/models/{made['id']}")).json()
    assert (model["model_file"], model["model_file_reason"]) == (chosen["file"], chosen["reason"])
    assert model["meta"]["quantization"] == "Q4_0"
    files = (await api.get("/v2/model-files")).json()["items"]
    (kept,) = [one for one in files if one["huggingface_repo_id"] == "org/several"]
    assert kept["huggingface_filename"] == "m-Q4_0.gguf"
    assert kept["source_index"] == instance["source_index"]
    weights = [path for path in hub.asked if path.startswith("GET") and "/org/several/resolve/" in path]
    assert {path.rpartition("/")[2] for path in weights} == {"m-Q4_0.gguf"}
    async with stack_of_hub.client(stack_of_hub.gateway_url) as gateway:
        assert (await chat(gateway, "several")).status_code == 200
    refused = await api.delete(f"/v2/model-files/{kept['id']}")
    assert refused.status_code == 409
    named = await deploy(api, "org/several", name="named", huggingface_filename="*F16*", replicas=1)
    await until_instances(api, named["id"], running_count(1))
    assert (await api.get(f"/v2/models/{named['id']}")).json()["model_file"] is None
    assert len(await events(api, "DeploymentFileChosen")) == 1


async def test_a_model_that_cannot_be_looked_at_says_why(api: httpx.AsyncClient) -> None:
    made = await deploy(api, "org/gated", replicas=1)

    def told(found: list[Json]) -> bool:
        return any("gated" in (one["state_message"] or "") for one in found)

    (instance,) = await until_instances(api, made["id"], told)
    assert instance["state"] == "pending"
    assert "token" in instance["state_message"]
    (why,) = [event["data"] for event in await events(api, "InstanceUnschedulable")]
    assert [reason["check"] for reason in why["reasons"]] == ["model_metadata"]
    await api.delete(f"/v2/models/{made['id']}")


async def test_hubs_and_paths_are_looked_at_through_the_api(api: httpx.AsyncClient, tiny_model: Path) -> None:
    for name in ("huggingface", "modelscope"):
        found = await api.get(f"/v2/model-sources/{name}/search", params={"search": "tiny"})
        assert [one["id"] for one in found.json()["items"]] == ["org/tiny-gguf", "org/tiny"]
    here = await api.get("/v2/model-sources/local", params={"path": str(tiny_model)})
    assert here.json()["facts"]["architectures"] == ["llama"]
    nowhere = await api.get("/v2/model-sources/local", params={"path": "/none.gguf"})
    assert nowhere.status_code == 404
    assert len(nowhere.json()["message"].splitlines()) == 3
