"""Every placement that was decided in this run comes out the same when it is decided again from the log."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from e2e.stack import Json, Stack, deploy, instances, running_count, until_instances
from modelyard_contracts.base import Event
from modelyard_contracts.envelope import Recorded, from_cloud_event
from modelyard_contracts.events import EVENT_TYPES
from modelyard_scheduler.domain.replaying import NEEDED, Replay

TYPES = [name for name, event in EVENT_TYPES.items() if event.aggregate in NEEDED]


async def log_of(api: httpx.AsyncClient) -> AsyncIterator[Recorded[Event]]:
    since = 0
    while True:
        page: Json = (
            await api.get("/v2/events", params={"since": since, "limit": 1000, "type": tuple(TYPES)})
        ).json()
        for event in page["items"]:
            yield from_cloud_event(event)
        if not page["items"]:
            return
        since = page["next_since"]


async def test_every_decision_is_made_again_identically(stack: Stack, tiny_model: Path) -> None:
    async with stack.client() as api:
        made = await deploy(api, tiny_model, "replayed", replicas=2)
        await until_instances(api, made["id"], running_count(2))
        await api.put(f"/v2/models/{made['id']}", json={"replicas": 4})
        await until_instances(api, made["id"], running_count(4))
        waits = await deploy(api, tiny_model, "waits", worker_selector={"zone": "nowhere"})
        await until_instances(api, waits["id"], lambda items: bool(items and items[0]["state_message"]))
        law = {"lora_name": "law", "source": "local_path", "local_path": "/no/such/adapter"}
        unread = await deploy(api, tiny_model, "unread", lora_list=[law])
        await until_instances(api, unread["id"], lambda items: bool(items and items[0]["state_message"]))
        [victim, *_] = await instances(api, made["id"])
        await api.delete(f"/v2/model-instances/{victim['id']}")
        await until_instances(
            api,
            made["id"],
            lambda items: running_count(4)(items) and victim["id"] not in [item["id"] for item in items],
        )
        for ident in (made["id"], waits["id"], unread["id"]):
            await api.delete(f"/v2/models/{ident}")
            await until_instances(api, ident, lambda items: items == [])

        replay, replayed = Replay(), []
        async for event in log_of(api):
            if event.type in ("InstanceScheduled", "InstanceUnschedulable"):
                replayed.append(replay.decide(event))
            replay.add([event])
    assert len(replayed) >= 7
    assert any(one.recorded.decision.sources for one in replayed)
    for one in replayed:
        assert one.again == one.recorded
        assert one.identical


async def test_placements_are_explained_to_people_and_scripts(stack: Stack, tiny_model: Path) -> None:
    async with stack.client() as api:
        made = await deploy(api, tiny_model, "explained")
        [here] = await until_instances(api, made["id"], running_count(1))
        waits = await deploy(api, tiny_model, "homeless", worker_selector={"zone": "nowhere"})
        [waiting] = await until_instances(
            api, waits["id"], lambda items: bool(items and items[0]["state_message"])
        )

        told = (await api.get(f"/v2/model-instances/{here['id']}/explain")).json()
        assert told["decision"]["worker_id"] == here["worker_id"]
        assert told["now"]["best"][0]["worker"] == here["worker_name"]
        [verdict] = told["now"]["verdicts"]
        assert verdict["place"]["score"] > 0
        assert [alike["members"][0]["workers"] for alike in told["now"]["alike"]] == [[[1, 1]]]
        told = (await api.get(f"/v2/model-instances/{waiting['id']}/explain")).json()
        assert told["decision"]["type"] == "InstanceUnschedulable"
        assert told["now"]["lacking"] == {"labels": 1}
        assert (await api.get("/v2/model-instances/9999/explain")).status_code == 404

        said = cli(stack, "explain", "explained")
        assert f"Placed on {here['worker_name']}" in said
        assert "zone=nowhere" in cli(stack, "explain", waiting["name"])
        assert "Each of 1 workers when this was decided:" in cli(stack, "explain", "--full", "explained")
        told = (await api.get(f"/v2/model-instances/{here['id']}/explain", params={"full": "true"})).json()
        decided = told["decision"]
        assert [(look["worker"], look["check"]) for look in decided["looks"]] == [(here["worker_name"], None)]
        assert "byte for byte" in cli(stack, "replay", str(decided["sequence"]))
        for ident in (made["id"], waits["id"]):
            await api.delete(f"/v2/models/{ident}")
            await until_instances(api, ident, lambda items: items == [])


def cli(stack: Stack, *arguments: str) -> str:
    command = [sys.executable, "-m", "modelyard_cli", *arguments, "--url", stack.api_url]
    done = subprocess.run(
        [*command, "--api-key", stack.key], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
