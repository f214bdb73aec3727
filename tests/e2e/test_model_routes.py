"""Routes, their targets and providers over REST, and what the gateway makes of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from e2e.stack import Json, Stack, chat, deploy, running_count, until_instances
from modelyard_gateway_world import ModelServer, model_servers

SECRET = "sk-of-the-provider"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    found = ModelServer("provider")
    async with model_servers(found):
        yield found


async def made(api: httpx.AsyncClient, resource: str, **fields: object) -> Json:
    answer = await api.post(f"/v2/{resource}", json=fields)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def answers(gateway: httpx.AsyncClient, name: str, status: int = 200) -> httpx.Response:
    async with asyncio.timeout(5):
        while (answer := await chat(gateway, name)).status_code != status:
            await asyncio.sleep(0.02)
    return answer


async def test_a_provider_serves_what_its_route_asks_for_and_nobody_sees_its_key(
    api: httpx.AsyncClient, gateway: httpx.AsyncClient, stack: Stack, server: ModelServer
) -> None:
    url = f"http://127.0.0.1:{server.port}/v1"
    provider = await made(api, "model-providers", name="elsewhere", base_url=url, api_key=SECRET)
    assert (provider["base_url"], provider["api_key_set"]) == (url, True)
    target = {"provider_id": provider["id"], "overridden_model_name": "large"}
    route = await made(api, "model-routes", name="outside", targets=[target], total_timeout_s=60)
    assert (route["targets"], route["ready_targets"], route["total_timeout_s"]) == (1, 1, 60)
    answer = await answers(gateway, "outside")
    assert answer.json()["server"] == "provider"
    [seen] = server.seen
    assert seen.header("authorization") == [f"Bearer {SECRET}"]
    assert json.loads(seen.body)["model"] == "large"

    shown = [await api.get("/v2/model-providers"), await api.get(f"/v2/model-routes/{route['id']}")]
    shown.append(await api.get("/v2/events", params={"subject": f"provider/{provider['id']}"}))
    assert all(SECRET not in one.text and "sealed" not in one.text for one in shown)
    assert SECRET not in stack.said()
    kept = await api.delete(f"/v2/model-providers/{provider['id']}")
    assert (kept.status_code, "outside" in kept.json()["message"]) == (409, True)
    assert (await api.delete(f"/v2/model-routes/{route['id']}")).status_code == 200
    assert (await api.delete(f"/v2/model-providers/{provider['id']}")).status_code == 200


async def test_targets_are_added_changed_made_a_fallback_and_deleted_and_keep_their_ids(
    api: httpx.AsyncClient, gateway: httpx.AsyncClient, server: ModelServer, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "targeted", replicas=0)
    [route] = (await api.get("/v2/model-routes", params={"search": "targeted"})).json()["items"]
    provider = await made(api, "model-providers", name="spare", base_url=f"http://127.0.0.1:{server.port}/v1")
    added = {"provider_id": provider["id"], "overridden_model_name": "spare"}
    answer = await api.post(f"/v2/model-routes/{route['id']}/add-targets", json={"targets": [added]})
    assert answer.json()["targets"] == 2
    listed = (await api.get("/v2/model-route-targets", params={"route_id": route["id"]})).json()["items"]
    own, spare = listed
    assert (own["model_name"], spare["provider_name"], spare["state"]) == ("targeted", "spare", "active")
    path = f"/v2/model-route-targets/{spare['id']}"
    fallback = (await api.post(f"{path}/set-fallback", json={"fallback_status_codes": ["5xx"]})).json()
    assert (fallback["id"], fallback["fallback_status_codes"]) == (spare["id"], ["5xx"])
    assert (await answers(gateway, "targeted")).json()["server"] == "provider"

    renamed = await api.put(f"/v2/model-routes/{route['id']}", json={**route, "name": "aimed"})
    assert (renamed.json()["id"], renamed.json()["targets"]) == (route["id"], 2)
    assert (await answers(gateway, "aimed")).json()["server"] == "provider"
    await api.put(f"/v2/models/{model['id']}", json={"replicas": 1})
    await until_instances(api, model["id"], running_count(1))
    async with asyncio.timeout(5):
        while "x-modelyard-instance" not in (await chat(gateway, "aimed")).headers:
            await asyncio.sleep(0.02)
    assert (await api.delete(f"/v2/model-route-targets/{own['id']}")).status_code == 200
    [left] = (await api.get("/v2/model-route-targets", params={"route_id": route["id"]})).json()["items"]
    assert left["id"] == spare["id"]
    assert (await api.get(f"/v2/model-route-targets/{own['id']}")).status_code == 404


async def test_whom_a_route_is_for_sees_and_calls_it_and_nobody_else(
    stack: Stack, api: httpx.AsyncClient, server: ModelServer
) -> None:
    ann = await made(api, "users", username="ann-of-routes", password="first-Password-1")
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=20) as hers:
        login = {"username": "ann-of-routes", "password": "first-Password-1"}
        session = (await hers.post("/auth/login", json=login)).json()["access_token"]
        hers.headers["Authorization"] = f"Bearer {session}"
        key = await made(hers, "api-keys", name="of ann", allowed_model_names=["other"])
        url = f"http://127.0.0.1:{server.port}/v1"
        provider = await made(api, "model-providers", name="of some", base_url=url)
        target = {"provider_id": provider["id"], "overridden_model_name": "m"}
        fields = {"name": "of-some", "targets": [target], "access_policy": "allowed_principals"}
        route = await made(api, "model-routes", **fields)
        path = f"/v2/model-routes/{route['id']}"
        assert (await hers.get("/v2/my-models", params={"search": "of-some"})).json()["items"] == []
        assert (await hers.get(path)).status_code == 404
        assert (await hers.post(f"{path}/access", json={})).status_code == 403
        named = await api.post(f"{path}/access", json={"users": [{"id": ann["id"]}]})
        assert [user["username"] for user in named.json()["items"]] == ["ann-of-routes"]
        assert (await api.get(f"{path}/access")).json() == named.json()
        [mine] = (await hers.get("/v2/my-models", params={"search": "of-some"})).json()["items"]
        assert (mine["access_policy"], mine["allowed_user_ids"]) == ("allowed_principals", [ann["id"]])
        wrong = await api.post(f"{path}/access", json={"users": [{"id": 999_999}]})
        assert (wrong.status_code, "user 999999" in wrong.json()["message"]) == (422, True)
        async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=20) as calling:
            calling.headers["Authorization"] = f"Bearer {key['value']}"
            await answers(calling, "of-some", 403)
            models = {"allowed_model_names": ["of-some"]}
            assert (await hers.put(f"/v2/api-keys/{key['id']}", json=models)).status_code == 200
            await answers(calling, "of-some")
            await api.put(path, json={"name": "of-few", "allowed_user_ids": [ann["id"]]})
            await answers(calling, "of-few")
            shown = (await hers.get(f"/v2/api-keys/{key['id']}")).json()
            assert shown["allowed_model_names"] == ["of-few"]
            await api.post(f"{path}/access", json={"users": []})
            await answers(calling, "of-few", 403)
            del calling.headers["Authorization"]
            await answers(calling, "of-few", 401)
            await api.post(f"{path}/access", json={"access_policy": "public"})
            await answers(calling, "of-few")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"access_policy": "friends"}, "access_policy"),
        ({"allowed_user_ids": [999_999]}, "allowed_user_ids"),
        ({"targets": [{}]}, "targets"),
        ({"targets": [{"model_id": 1, "provider_id": 1}]}, "targets"),
        ({"targets": [{"provider_id": 999_999, "overridden_model_name": "m"}]}, "provider 999999"),
        ({"targets": [{"model_id": 999_999}]}, "model 999999"),
        ({"targets": [{"provider_id": 1}]}, "overridden_model_name"),
        ({"first_byte_timeout_s": 0}, "first_byte_timeout_s"),
        ({"affinity": "colour"}, "affinity"),
        ({"queue_size": -1}, "queue_size"),
    ],
)
async def test_a_route_that_makes_no_sense_is_refused_by_the_name_of_the_field(
    api: httpx.AsyncClient, fields: Json, named: str
) -> None:
    answer = await api.post("/v2/model-routes", json={"name": "nonsense", **fields})
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "ftp://a/v1"),
        ("base_url", "https://user:secret@a/v1"),
        ("base_url", "https://a/v1\r\nX: y"),
        ("base_url", "https://a:99999/v1"),
        ("api_key", "a\r\nX-Other: b"),
    ],
)
async def test_a_provider_that_makes_no_sense_is_refused(
    api: httpx.AsyncClient, field: str, value: str
) -> None:
    wanted = {"name": "nonsense", "base_url": "https://a/v1", field: value}
    answer = await api.post("/v2/model-providers", json=wanted)
    assert answer.status_code == 422, answer.text
    assert field in answer.json()["message"]
    assert field != "api_key" or "X-Other" not in answer.text
