"""Models on a worker's disk through the running system: fetched, listed, prefetched, deleted on request."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from e2e.stack import Json, Stack, chat, running_count, until_instances
from hub_server import Hub
from tiny_gguf import write_tiny_lora
from waiting import until, until_async

WHOLE = {"source": "model_scope", "model_scope_model_id": "org/tiny"}


@pytest.fixture
async def api(stack_of_hub: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with stack_of_hub.client() as client:
        yield client


async def files(api: httpx.AsyncClient, **query: str) -> list[Json]:
    found: list[Json] = (await api.get("/v2/model-files", params=query)).json()["items"]
    return found


async def until_file(api: httpx.AsyncClient, ident: int, holds: Callable[[Json], bool]) -> Json:
    seen: Json = {}

    async def there() -> bool:
        seen.update((await api.get(f"/v2/model-files/{ident}")).json())
        return holds(seen)

    try:
        await until_async(there, 30)
    except TimeoutError:
        raise AssertionError(f"it is {seen}") from None
    return seen


async def until_gone(api: httpx.AsyncClient, ident: int) -> None:
    async def gone() -> bool:
        return (await api.get(f"/v2/model-files/{ident}")).status_code == 404

    await until_async(gone, 30)


async def test_a_model_of_a_hub_stays_when_its_deployment_goes_until_it_is_deleted(
    api: httpx.AsyncClient, stack_of_hub: Stack
) -> None:
    wish = {"source": "huggingface", "huggingface_repo_id": "org/tiny-gguf", "huggingface_filename": "*F32*"}
    made = (await api.post("/v2/models", json={"name": "tiny", "replicas": 1, **wish})).json()
    await until_instances(api, made["id"], running_count(1))
    async with stack_of_hub.client(stack_of_hub.gateway_url) as gateway:
        assert (await chat(gateway, "tiny")).status_code == 200
    (file,) = await files(api)
    assert (file["state"], file["download_progress"]) == ("ready", 100.0)
    assert file["huggingface_filename"] == "*F32*"
    (path,) = file["resolved_paths"]
    assert Path(path).stat().st_size == file["size"]
    refused = await api.delete(f"/v2/model-files/{file['id']}")
    assert refused.status_code == 409
    assert "is used by tiny-" in refused.json()["message"]

    await api.delete(f"/v2/models/{made['id']}")
    await until_instances(api, made["id"], lambda found: not found)

    assert Path(path).exists()
    assert [one["id"] for one in await files(api)] == [file["id"]]
    assert (await api.delete(f"/v2/model-files/{file['id']}")).status_code == 200
    await until_gone(api, file["id"])
    assert not Path(path).exists()
    assert await files(api) == []


async def test_how_far_a_download_is_is_shown_while_it_goes_on(
    api: httpx.AsyncClient, stack_of_hub: Stack, hub: Hub
) -> None:
    hub.add("org/slow", {"m.gguf": b"slow" * 15_000_000})
    trouble = hub.trouble("org/slow/resolve/", trickle_s=0.5)
    (worker,) = (await api.get("/v2/workers")).json()["items"]

    async def shell(*words: str) -> str:
        done = await asyncio.to_thread(stack_of_hub.shell, "files", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    await shell("add", "org/slow", "--file", "m.gguf", "--worker", worker["name"])
    (file,) = [one for one in await files(api) if one["name"] == "org/slow/m.gguf"]

    seen = await until_file(api, file["id"], lambda seen: bool(seen["download_remaining_s"]))

    assert (seen["state"], seen["size"]) == ("downloading", 60_000_000)
    assert 0 < seen["downloaded_bytes"] < seen["size"]
    assert 0 < seen["download_progress"] < 100
    assert seen["download_speed"] > 0
    following = asyncio.create_task(shell("logs", "-f", str(file["id"])))
    trouble.times = 0
    await until_file(api, file["id"], lambda seen: seen["state"] == "ready")
    assert "every file is here and has the right checksum" in await following
    assert "org/slow/m.gguf" in await shell("ls", "--worker", worker["name"])
    await shell("retry", str(file["id"]))
    await shell("rm", str(file["id"]))
    await until_gone(api, file["id"])


async def test_an_adapter_of_a_hub_is_asked_by_name_and_its_files_are_in_use(
    api: httpx.AsyncClient, stack_of_hub: Stack, hub: Hub, tmp_path: Path
) -> None:
    write_tiny_lora(tmp_path / "law.gguf")
    hub.add("org/law", {"law.gguf": tmp_path / "law.gguf"})
    law = {"lora_name": "law", "lora_repo_name": "org/law"}
    wish = {"source": "huggingface", "huggingface_repo_id": "org/tiny-gguf", "huggingface_filename": "*F32*"}
    body = {"name": "adapted", "replicas": 1, "backend": "llama.cpp", "lora_list": [law], **wish}
    made = (await api.post("/v2/models", json=body)).json()
    await until_instances(api, made["id"], running_count(1))

    async with stack_of_hub.client(stack_of_hub.gateway_url) as gateway:
        plain, adapted, again = [
            (await chat(gateway, name)).json()["choices"][0]["message"]["content"]
            for name in ("adapted", "adapted:law", "adapted")
        ]

    assert plain == again != adapted
    (file,) = [one for one in await files(api) if one["huggingface_repo_id"] == "org/law"]
    refused = await api.delete(f"/v2/model-files/{file['id']}")
    assert (refused.status_code, "is used by adapted-" in refused.json()["message"]) == (409, True)
    await api.delete(f"/v2/models/{made['id']}")
    await until_instances(api, made["id"], lambda found: not found)


async def test_a_whole_repository_is_prefetched_to_a_worker(api: httpx.AsyncClient) -> None:
    (worker,) = (await api.get("/v2/workers")).json()["items"]
    made = await api.post("/v2/model-files", json={"worker_id": worker["id"], **WHOLE})
    assert made.status_code == 200, made.text

    file = await until_file(api, made.json()["id"], lambda seen: seen["state"] == "ready")

    (path,) = file["resolved_paths"]
    assert {"config.json", "model.safetensors"} <= {one.name for one in Path(path).iterdir()}
    again = await api.post("/v2/model-files", json={"worker_id": worker["id"], **WHOLE})
    assert again.status_code == 409
    shutil.rmtree(path)
    assert (await api.post(f"/v2/model-files/{file['id']}/reset")).status_code == 200
    await until((Path(path) / "model.safetensors").exists, 30)


async def test_a_download_that_failed_says_why_and_is_tried_again_on_request(
    api: httpx.AsyncClient, hub: Hub
) -> None:
    (worker,) = (await api.get("/v2/workers")).json()["items"]
    wish = {"source": "huggingface", "huggingface_repo_id": "org/gated", "worker_id": worker["id"]}
    made = (await api.post("/v2/model-files", json=wish)).json()

    file = await until_file(api, made["id"], lambda seen: seen["state"] == "error")

    assert "gated" in file["state_message"]
    hub.repos["org/gated"].token = None
    await api.post(f"/v2/model-files/{file['id']}/reset")
    await until_file(api, made["id"], lambda seen: seen["state"] == "ready")


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"worker_id": 99, **WHOLE}, "worker_id: there is no worker 99"),
        ({"worker_id": 1, "source": "huggingface"}, "huggingface_repo_id"),
        ({"worker_id": 1, "source": "local_path"}, "source"),
    ],
)
async def test_a_wish_that_cannot_be_is_refused_by_name(
    api: httpx.AsyncClient, wish: Json, says: str
) -> None:
    refused = await api.post("/v2/model-files", json=wish)

    assert refused.status_code == 422
    assert says in refused.json()["message"]
