"""Who may do what: logins, keys with an end and with limits, and the token that workers join with."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
from e2e.stack import Stack, chat, deploy, running_count, until_instances


async def anyone(stack: Stack, method: str, path: str, **options: object) -> httpx.Response:
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=20) as client:
        return await client.request(method, path, **options)  # type: ignore[arg-type]


async def test_a_login_needs_the_right_password_and_opens_the_api(stack: Stack) -> None:
    password = (stack.state / "initial-password").read_text().strip()
    wrong = await anyone(stack, "POST", "/auth/login", json={"username": "admin", "password": "wrong-one"})
    unknown = await anyone(stack, "POST", "/auth/login", json={"username": "nobody", "password": password})
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.json() == unknown.json(), "which of the two was wrong is nobody's business"
    right = await anyone(stack, "POST", "/auth/login", json={"username": "admin", "password": password})
    bearer = {"Authorization": f"Bearer {right.json()['access_token']}"}
    assert (await anyone(stack, "GET", "/v2/users", headers=bearer)).status_code == 200
    forged = {"Authorization": f"Bearer {right.json()['access_token'][:-2]}xx"}
    assert (await anyone(stack, "GET", "/v2/users", headers=forged)).status_code == 401


async def test_a_changed_password_ends_earlier_logins(stack: Stack, api: httpx.AsyncClient) -> None:
    made = await api.post("/v2/users", json={"username": "ann", "password": "first-Password-1"})
    assert made.status_code == 200, made.text
    seq = made.headers["etag"].strip('"')
    await api.get("/v2/users", params={"min_seq": seq})
    ann = {"username": "ann", "password": "first-Password-1"}
    token = (await anyone(stack, "POST", "/auth/login", json=ann)).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await anyone(stack, "GET", "/v2/models", headers=bearer)).status_code == 200
    wish = {"current_password": "first-Password-1", "new_password": "second-Password-2"}
    changed = await anyone(stack, "PUT", "/v2/users/me/password", json=wish, headers=bearer)
    assert changed.status_code == 200, changed.text
    async with asyncio.timeout(10):
        while (await anyone(stack, "GET", "/v2/models", headers=bearer)).status_code != 401:
            await asyncio.sleep(0.02)
    assert (await anyone(stack, "POST", "/auth/login", json=ann)).status_code == 401


async def test_a_key_is_shown_once_and_ends_at_its_time(
    stack: Stack, api: httpx.AsyncClient, gateway: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "keyed")
    await until_instances(api, model["id"], running_count(1))
    made = (await api.post("/v2/api-keys", json={"name": "short", "expires_in": 3})).json()
    listed = (await api.get("/v2/api-keys", params={"search": "short"})).json()["items"]
    assert made["value"] not in json.dumps(listed)
    async with stack.client(stack.gateway_url) as client:
        client.headers["Authorization"] = f"Bearer {made['value']}"
        async with asyncio.timeout(10):
            while (await chat(client, "keyed")).status_code != 200:
                await asyncio.sleep(0.02)
            while (refused := await chat(client, "keyed")).status_code == 200:
                await asyncio.sleep(0.1)
    assert refused.status_code == 401
    assert (
        await anyone(stack, "GET", "/v2/models", headers={"Authorization": f"Bearer {made['value']}"})
    ).status_code == 401
    assert (await chat(gateway, "keyed")).status_code == 200


async def test_a_key_is_good_for_its_scope_alone_and_shows_its_limits(
    stack: Stack, api: httpx.AsyncClient
) -> None:
    async def made(**fields: object) -> dict[str, Any]:
        answer = await api.post("/v2/api-keys", json={"name": "scoped", **fields})
        assert answer.status_code == 200, answer.text
        key: dict[str, Any] = answer.json()
        return key

    inference, management = await made(scope=["inference"]), await made(scope=["management"])
    assert (await made(scope=["*"]))["scope"] == ["inference", "management"]
    refused = await anyone(stack, "GET", "/v2/models", headers={"X-API-Key": inference["value"]})
    assert (refused.status_code, refused.json()["reason"]) == (403, "Forbidden")
    assert (
        await anyone(stack, "GET", "/v2/models", headers={"X-API-Key": management["value"]})
    ).status_code == 200
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=20) as client, asyncio.timeout(10):
        while (models := await client.get("/v1/models", headers={"X-API-Key": inference["value"]})).is_error:
            assert models.status_code == 401
        shown = {"x-api-key": management["value"]}
        refused = await client.post("/v1/messages", json={"model": "any"}, headers=shown)
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")

    limits = {"requests_per_minute": 60, "tokens_per_minute": None, "concurrency": 2, "tokens_per_day": None}
    path = f"/v2/api-keys/{inference['id']}/limits"
    assert (await api.put(path, json=limits)).json()["limits"] == limits
    again = await api.put(path, json=limits)
    assert again.headers["etag"] == (await api.put(path, json=limits)).headers["etag"], "nothing was written"
    wrong = await api.put(path, json={"concurrency": 0})
    assert (wrong.status_code, "concurrency" in wrong.json()["message"]) == (422, True)
    assert (await api.put("/v2/model-routes/99/limits", json=limits)).status_code == 404
    shown = {"X-API-Key": management["value"]}
    users = (await anyone(stack, "GET", "/v2/users", headers=shown)).json()["items"]
    changed = await api.put(f"/v2/users/{users[0]['id']}/limits", json={})
    assert changed.json()["limits"] == dict.fromkeys(limits)


async def test_what_a_key_used_is_shown_by_route_and_key(
    stack: Stack, api: httpx.AsyncClient, gateway: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "metered")
    await until_instances(api, model["id"], running_count(1))
    answers = [(await chat(gateway, "metered")).json()["usage"] for _ in range(3)]
    (route,) = (await api.get("/v2/model-routes", params={"search": "metered"})).json()["items"]
    params = {"route_id": route["id"], "group_by": "route,key,user"}
    async with asyncio.timeout(20):
        while not (shown := (await api.get("/v2/usage", params=params)).json()["items"]):
            await asyncio.sleep(0.1)
        while shown[0]["requests"] < 3:
            shown = (await api.get("/v2/usage", params=params)).json()["items"]
    (used,) = shown
    assert (used["route_name"], used["key_name"], used["user_name"]) == ("metered", "e2e", "admin")
    assert used["tokens_in"] == sum(answer["prompt_tokens"] for answer in answers)
    assert used["tokens_out"] == sum(answer["completion_tokens"] for answer in answers)
    assert (used["requests"], used["failed"], used["estimated"]) == (3, 0, 0)
    wrong = await api.get("/v2/usage", params={"group_by": "colour"})
    assert (wrong.status_code, "group_by" in wrong.json()["message"]) == (422, True)


async def test_a_worker_joins_only_with_the_token(stack: Stack, api: httpx.AsyncClient) -> None:
    before = (await api.get("/v2/workers")).json()["pagination"]["total"]
    body = {"name": "stranger", "worker_uuid": "u-1", "public_key": "UA", "hostname": "h", "labels": {}}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {stack.key}"}):
        refused = await anyone(stack, "POST", "/v2/workers", json=body, headers=headers)
        assert refused.status_code == 401, refused.text
    assert (await api.get("/v2/workers")).json()["pagination"]["total"] == before
