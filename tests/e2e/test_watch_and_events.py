"""Lists with watch and the event stream: replay, then live, and no gap when a client comes back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.stack import Json, deploy, frames, running_count, until_instances

RESOURCES = ["models", "model-instances", "workers", "model-routes", "clusters", "users", "api-keys"]


@pytest.mark.parametrize("resource", RESOURCES)
async def test_every_resource_can_be_listed_and_watched(api: httpx.AsyncClient, resource: str) -> None:
    listed = (await api.get(f"/v2/{resource}")).json()
    assert set(listed) == {"items", "pagination"}
    assert set(listed["pagination"]) == {"page", "perPage", "total", "totalPage"}
    if not listed["items"]:
        return
    async with api.stream("GET", f"/v2/{resource}", params={"watch": True}) as response:
        first = await anext(frames(response))
    assert first["type"] == 1
    assert first["seq"] > 0
    assert first["data"]["id"] == first["id"]


async def test_a_watch_resumes_where_it_broke_off(api: httpx.AsyncClient, tiny_model: Path) -> None:
    """What two watchers saw, one of whom kept going away, is the same."""
    seen: list[Json] = []
    start = int((await api.get("/v2/models")).headers["etag"].strip('"'))

    async def watch_in_pieces() -> None:
        since = start
        while not (seen and seen[-1]["type"] == 3):
            async with api.stream("GET", "/v2/models", params={"watch": True, "since": since}) as response:
                assert response.status_code == 200
                frame = await anext(frames(response))
                seen.append(frame)
                since = frame["seq"]

    watching = asyncio.create_task(watch_in_pieces())
    model = await deploy(api, tiny_model, "watched", replicas=0)
    for number in range(5):
        await api.put(f"/v2/models/{model['id']}", json={"description": f"number {number}"})
    await api.delete(f"/v2/models/{model['id']}")
    await asyncio.wait_for(watching, 30)
    mine = [frame for frame in seen if frame["id"] == model["id"]]
    assert [frame["type"] for frame in mine] == [1, 2, 2, 2, 2, 2, 3]
    changed = [frame["changed_fields"]["description"] for frame in mine[1:-1]]
    assert changed[1] == [["number 0"], ["number 1"]]


async def test_events_stream_filters_and_resumes(api: httpx.AsyncClient, tiny_model: Path) -> None:
    model = await deploy(api, tiny_model, "streamed", replicas=0)
    subject = f"deployment/{model['id']}"
    page = (await api.get("/v2/events", params={"subject": subject})).json()["items"]
    first = page[0]
    assert first["specversion"] == "1.0"
    assert first["type"] == "DeploymentRequested"

    await api.put(f"/v2/models/{model['id']}", json={"description": "x"})
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(first["sequence"])}
    params: dict[str, Any] = {"subject": subject, "type": ["DeploymentUpdated", "DeploymentDeleted"]}
    got: list[Json] = []

    async def listen() -> None:
        async with api.stream("GET", "/v2/events", params=params, headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    got.append(json.loads(line[5:]))
                if len(got) == 2:
                    return

    listening = asyncio.create_task(listen())
    await api.delete(f"/v2/models/{model['id']}")
    await asyncio.wait_for(listening, 20)
    assert [event["type"] for event in got] == ["DeploymentUpdated", "DeploymentDeleted"]


async def test_a_read_sees_the_write_it_waits_for(api: httpx.AsyncClient, tiny_model: Path) -> None:
    model = await deploy(api, tiny_model, "mine", replicas=0)
    path = f"/v2/models/{model['id']}"
    for number in range(20):
        written = await api.put(path, json={"description": str(number)})
        seq = written.headers["etag"].strip('"')
        assert (await api.get(path, params={"min_seq": seq})).json()["description"] == str(number)


async def test_lists_page_sort_and_search(api: httpx.AsyncClient, tiny_model: Path) -> None:
    for letter in "cab":
        await deploy(api, tiny_model, f"paged-{letter}", replicas=0)
    params: dict[str, Any] = {"search": "paged", "sort_by": "name", "perPage": 2}
    first = (await api.get("/v2/models", params=params)).json()
    assert [item["name"] for item in first["items"]] == ["paged-a", "paged-b"]
    assert first["pagination"] == {"page": 1, "perPage": 2, "total": 3, "totalPage": 2}
    assert (await api.get("/v2/models", params={"sort_by": "colour"})).status_code == 422
    stopped = (await api.get("/v2/models", params={"search": "paged", "state": "stopped"})).json()
    assert stopped["pagination"]["total"] == 3


async def test_only_known_events_ever_happened(api: httpx.AsyncClient, tiny_model: Path) -> None:
    """What the log holds after all this is in the AsyncAPI document."""
    from modelyard_eventlog.asyncapi import document

    model = await deploy(api, tiny_model, "documented")
    await until_instances(api, model["id"], running_count(1))
    events = (await api.get("/v2/events", params={"limit": 1000})).json()["items"]
    assert {event["type"] for event in events} <= set(document(version="1")["channels"])


async def test_no_hash_of_a_secret_is_ever_shown(api: httpx.AsyncClient) -> None:
    params: dict[str, Any] = {"type": ["UserCreated", "ApiKeyCreated"]}
    page = await api.get("/v2/events", params=params)
    assert {event["type"] for event in page.json()["items"]} == {"UserCreated", "ApiKeyCreated"}
    seen = page.text
    async with api.stream("GET", "/v2/events", params={**params, "since": 0, "follow": True}) as live:
        async for line in live.aiter_lines():
            seen += line
            if "ApiKeyCreated" in line and line.startswith("data:"):
                break
    assert "_hash" not in seen
    assert "argon2" not in seen
