"""Tokens that users keep for the hubs: never shown, they open gated models from the search to the chat."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from e2e.stack import Json, Stack, chat, running_count, until_instances
from hub_server import Hub, hub_server
from tiny_gguf import write_tiny_gguf
from waiting import until_async

TOKENS = {"huggingface": "hf_of_the_admin", "modelscope": "ms_of_the_admin"}
PATH = "/v2/users/me/hub-tokens"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    gguf = tmp_path_factory.mktemp("hub") / "m-F32.gguf"
    write_tiny_gguf(gguf)
    with hub_server() as server:
        for name, token in TOKENS.items():
            server.add(f"locked/{name}", {"m-F32.gguf": gguf}, token=token)
        yield server


@pytest.fixture
async def api(stack_of_hub: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with stack_of_hub.client() as client:
        yield client


async def keep(api: httpx.AsyncClient, name: str) -> None:
    kept = await api.put(f"{PATH}/{name}", json={"token": TOKENS[name]})
    assert kept.status_code == 200, kept.text


def wish(name: str) -> Json:
    repo = {
        "huggingface": {"source": "huggingface", "huggingface_repo_id": "locked/huggingface"},
        "modelscope": {"source": "model_scope", "model_scope_model_id": "locked/modelscope"},
    }
    return {"name": name, "replicas": 1, **repo[name]}


async def test_a_token_is_kept_for_its_user_alone_and_never_shown(
    api: httpx.AsyncClient, stack_of_hub: Stack
) -> None:
    ann = {"username": "ann", "password": "first-Password-1"}
    assert (await api.post("/v2/users", json=ann)).status_code == 200
    await keep(api, "huggingface")
    async with httpx.AsyncClient(base_url=stack_of_hub.api_url, timeout=20) as client:
        login = (await client.post("/auth/login", json=ann)).json()
        client.headers["Authorization"] = f"Bearer {login['access_token']}"
        assert (await client.get(PATH)).json() == {"huggingface": False, "modelscope": False}
        await keep(client, "modelscope")
        assert (await client.get(PATH)).json() == {"huggingface": False, "modelscope": True}
        passwords = {"current_password": ann["password"], "new_password": "second-Password-2"}
        assert (await client.put("/v2/users/me/password", json=passwords)).status_code == 200
        again = {"username": "ann", "password": "second-Password-2"}
        login = (await client.post("/auth/login", json=again)).json()
        client.headers["Authorization"] = f"Bearer {login['access_token']}"
        assert (await client.get(PATH)).json() == {"huggingface": False, "modelscope": True}
    assert (await api.get(PATH)).json() == {"huggingface": True, "modelscope": False}
    assert (await api.delete(f"{PATH}/huggingface")).status_code == 200
    assert (await api.delete(f"{PATH}/huggingface")).status_code == 200
    assert (await api.get(PATH)).json() == {"huggingface": False, "modelscope": False}
    told = (await api.get("/v2/events", params={"type": "UserHubTokenChanged"})).json()["items"]
    assert [event["data"] for event in told] == [
        {"user_id": 1, "hub": "huggingface"},
        {"user_id": 2, "hub": "model_scope"},
        {"user_id": 1, "hub": "huggingface"},
    ]
    users = str((await api.get("/v2/users")).json())
    assert not [word for word in ("hub", "hf_", "ms-", "token'") if word in users.lower()]


@pytest.mark.parametrize("token", ["", "two words", "hf_\u00e9", "x" * 600])
async def test_what_is_no_token_is_refused_without_being_repeated(api: httpx.AsyncClient, token: str) -> None:
    refused = await api.put(f"{PATH}/huggingface", json={"token": token})

    assert refused.status_code == 422
    assert "token" in refused.json()["message"]
    assert not token or token not in refused.text
    assert (await api.put(f"{PATH}/elsewhere", json={"token": "t"})).status_code == 422


@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
async def test_a_model_that_only_the_users_token_opens_is_found_placed_and_served(
    api: httpx.AsyncClient, stack_of_hub: Stack, name: str
) -> None:
    source = f"/v2/model-sources/{name}/models/locked/{name}"
    assert (await api.get(source)).status_code == 403
    await keep(api, name)
    assert (await api.get(source)).json()["facts"]["format"] == "gguf"
    assert (await api.get(source, headers={"X-Hub-Token": "wrong"})).status_code == 403
    evaluated = await api.post("/v2/model-evaluations", json={"model_specs": [wish(name)]})
    assert evaluated.json()["results"][0]["compatible"], evaluated.text

    made = await api.post("/v2/models", json=wish(name))

    assert made.status_code == 200, made.text
    assert set(made.json()["env"].values()) == {"********"}
    await until_instances(api, made.json()["id"], running_count(1))
    async with stack_of_hub.client(stack_of_hub.gateway_url) as gateway:
        assert (await chat(gateway, name)).status_code == 200
    await said_nowhere(api, stack_of_hub, TOKENS[name])


@pytest.mark.parametrize("name", ["huggingface", "modelscope"])
async def test_what_is_fetched_ahead_is_fetched_with_the_token_of_who_wants_it(
    api: httpx.AsyncClient, stack_of_hub: Stack, name: str
) -> None:
    await keep(api, name)
    (worker,) = (await api.get("/v2/workers")).json()["items"]
    fields = {key: value for key, value in wish(name).items() if key not in ("name", "replicas")}
    file = "huggingface_filename" if name == "huggingface" else "model_scope_file_path"
    asked = {"worker_id": worker["id"], **fields, file: "m-F32.gguf"}
    made = await api.post("/v2/model-files", json=asked)
    assert made.status_code == 200, made.text

    async def settled() -> bool:
        seen = (await api.get(f"/v2/model-files/{made.json()['id']}")).json()
        assert seen["state"] != "error", seen
        return bool(seen["state"] == "ready")

    await until_async(settled, 30)
    await said_nowhere(api, stack_of_hub, TOKENS[name])


async def said_nowhere(api: httpx.AsyncClient, stack: Stack, token: str) -> None:
    events = (await api.get("/v2/events", params={"limit": "1000"})).text
    assert token not in events
    logs: list[Path] = [stack.directory / "up.log", *stack.state.rglob("*.log")]
    assert len(logs) > 4
    assert [log for log in logs if token in log.read_text(errors="replace")] == []
