"""Every placement that was decided in this run comes out the same when it is decided again from the log."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from e2e.stack import Json, Stack, deploy, instances, running_count, until_instances
from modelyard_contracts.base import Event
from modelyard_contracts.envelope import Recorded, from_cloud_event
from modelyard_contracts.events import EVENT_TYPES
from modelyard_scheduler.domain.replaying import NEEDED, NotReplayable, Replay

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
        [victim, *_] = await instances(api, made["id"])
        await api.delete(f"/v2/model-instances/{victim['id']}")
        await until_instances(
            api,
            made["id"],
            lambda items: running_count(4)(items) and victim["id"] not in [item["id"] for item in items],
        )
        for ident in (made["id"], waits["id"]):
            await api.delete(f"/v2/models/{ident}")
            await until_instances(api, ident, lambda items: items == [])

        replay, replayed = Replay(), []
        async for event in log_of(api):
            if event.type in ("InstanceScheduled", "InstanceUnschedulable"):
                try:
                    replayed.append(replay.decide(event))
                except NotReplayable as why:
                    assert "source said" in str(why)
            replay.add([event])
    assert len(replayed) >= 6
    for one in replayed:
        assert one.again == one.recorded
        assert one.identical
