"""The gateway of the running system: routes, proxy, refusals, and what it does when all else is down."""

import asyncio
from pathlib import Path

import httpx
import psutil
from e2e.stack import Stack, chat, deploy, running, running_count, story, until_instances


async def test_generic_proxy_in_both_forms_only_where_it_is_on(
    api: httpx.AsyncClient, gateway: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "proxied", generic_proxy=True)
    await until_instances(api, model["id"], running_count(1))
    [route] = (await api.get("/v2/model-routes", params={"search": "proxied"})).json()["items"]
    tokenize = {"content": "hello", "with_pieces": True}

    by_id = await gateway.post(f"/model/proxy/{route['id']}/tokenize", json=tokenize)
    assert by_id.status_code == 200, by_id.text
    assert by_id.json()["tokens"]
    by_header = await gateway.post(
        "/model/proxy/tokenize", json=tokenize, headers={"X-GPUStack-Model": "proxied"}
    )
    by_body = await gateway.post("/model/proxy/tokenize", json={**tokenize, "model": "proxied"})
    assert by_header.json() == by_body.json() == by_id.json()
    assert (await gateway.get(f"/model/proxy/{route['id']}/props", params={"a": "b"})).status_code == 200
    assert (await gateway.post("/model/proxy/tokenize", json=tokenize)).status_code == 400

    renamed = await api.put(f"/v2/model-routes/{route['id']}", json={"name": "renamed"})
    assert renamed.status_code == 200, renamed.text
    async with asyncio.timeout(5):
        while (await chat(gateway, "renamed")).status_code != 200:
            await asyncio.sleep(0.02)
    assert (await gateway.post(f"/model/proxy/{route['id']}/tokenize", json=tokenize)).status_code == 200

    await api.put(f"/v2/models/{model['id']}", json={"generic_proxy": False})
    async with asyncio.timeout(5):
        while (await gateway.post(f"/model/proxy/{route['id']}/tokenize", json=tokenize)).status_code != 404:
            await asyncio.sleep(0.02)


async def test_refusals_have_the_shape_of_openai(
    api: httpx.AsyncClient, gateway: httpx.AsyncClient, tiny_model: Path
) -> None:
    await deploy(api, tiny_model, "asleep", replicas=0)
    unknown = await chat(gateway, "nobody")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    async with asyncio.timeout(5):
        while (asleep := await chat(gateway, "asleep")).status_code == 404:
            await asyncio.sleep(0.02)
    assert asleep.status_code == 503
    assert int(asleep.headers["retry-after"]) > 0
    nobody = await chat(gateway, "asleep", **{})
    assert nobody.json()["error"]["message"]
    keyless = await gateway.post(
        "/v1/chat/completions", json={"model": "asleep"}, headers={"Authorization": ""}
    )
    assert (keyless.status_code, set(keyless.json())) == (401, {"error"})


async def test_a_key_sees_and_calls_only_its_models_until_revoked(
    api: httpx.AsyncClient, gateway: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "allowed")
    await deploy(api, tiny_model, "forbidden", replicas=0)
    await until_instances(api, model["id"], running_count(1))
    made = (await api.post("/v2/api-keys", json={"name": "one", "allowed_model_names": ["allowed"]})).json()
    gateway.headers["Authorization"] = f"Bearer {made['value']}"
    async with asyncio.timeout(5):
        while (await gateway.get("/v1/models")).status_code == 401:
            await asyncio.sleep(0.02)
    listed = (await gateway.get("/v1/models")).json()["data"]
    assert [item["id"] for item in listed] == ["allowed"]
    assert (await chat(gateway, "allowed")).status_code == 200
    assert (await chat(gateway, "forbidden")).status_code == 403
    assert (await api.delete(f"/v2/api-keys/{made['id']}")).status_code == 200
    async with asyncio.timeout(5):
        while (await chat(gateway, "allowed")).status_code != 401:
            await asyncio.sleep(0.02)


async def test_embeddings(api: httpx.AsyncClient, gateway: httpx.AsyncClient, tiny_model: Path) -> None:
    model = await deploy(api, tiny_model, "vectors", backend_parameters=["--embedding", "--pooling", "mean"])
    await until_instances(api, model["id"], running_count(1))
    answer = await gateway.post("/v1/embeddings", json={"model": "vectors", "input": "hello"})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"][0]["embedding"]) > 8


async def test_it_keeps_routing_when_everything_else_is_down(tiny_model: Path) -> None:
    async with running() as stack, stack.client() as api, stack.client(stack.gateway_url) as gateway:
        model = await deploy(api, tiny_model, "alone")
        await until_instances(api, model["id"], running_count(1))
        async with asyncio.timeout(30):
            while (await chat(gateway, "alone")).status_code != 200:
                await asyncio.sleep(0.02)
        _stop_control_plane(stack)
        for _ in range(20):
            assert (await chat(gateway, "alone")).status_code == 200
            assert (await chat(gateway, "nobody")).status_code == 404


def _stop_control_plane(stack: Stack) -> None:
    """`up` first, for it would start the others again."""
    assert stack.process is not None
    stack.process.kill()
    stack.process.wait()
    for word in ("modelyard_api", "modelyard_scheduler", "nats-server", "postgres"):
        assert stack.kill(word), word


async def test_requests_go_through_the_workers_relay_and_nothing_else_does(
    api: httpx.AsyncClient, gateway: httpx.AsyncClient, tiny_model: Path
) -> None:
    model = await deploy(api, tiny_model, "relayed")
    [item] = await until_instances(api, model["id"], running_count(1))
    assert (await chat(gateway, "relayed")).status_code == 200

    server = psutil.Process(item["pid"])
    [listening] = [c.laddr for c in server.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert listening.ip == "127.0.0.1"
    assert listening.port != item["port"]
    [running] = [fact for fact in await story(api, f"instance/{item['id']}") if "Running" in fact["type"]]
    relay = f"http://{item['worker_ip']}:{item['port']}/v1/models"
    async with httpx.AsyncClient(trust_env=False) as anybody:
        assert (await anybody.get(relay)).status_code == 401
        for token in ("guessed", running["data"]["relay_token"]):
            refused = await anybody.get(relay, headers={"X-Modelyard-Relay": token})
            assert refused.status_code == 403
