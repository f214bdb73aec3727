"""Models of a hub through the running system: looked at, placed, downloaded, served."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from e2e.stack import Json, Stack, chat, running_count, until_instances


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
