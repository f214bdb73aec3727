"""The event log is lost with its disk; everything comes back from the archive."""

import asyncio
import shutil
from pathlib import Path

import httpx
from e2e.stack import Stack, deploy, running, running_count, until_instances
from waiting import until


async def story_of_all(client: httpx.AsyncClient, upto: int) -> list[str]:
    await client.get("/v2/models", params={"min_seq": upto})
    found = (await client.get("/v2/events", params={"limit": 1000})).json()["items"]
    return [event["id"] for event in found if event["sequence"] <= upto]


def ended(stack: Stack) -> bool:
    return stack.process is not None and stack.process.poll() is not None


async def test_a_lost_event_log_is_refused_until_it_is_restored(tiny_model: Path) -> None:
    async with running() as stack:
        async with stack.client() as client:
            made = await deploy(client, tiny_model, "kept")
            served = await until_instances(client, made["id"], running_count(1))
            last = int((await client.get("/v2/models")).headers["etag"].strip('"'))
            before = await story_of_all(client, last)
        assert await asyncio.to_thread(stack.stop) == 0
        shutil.rmtree(stack.state / "nats" / "jetstream")

        stack.launch()
        await until(lambda: ended(stack), 60)
        assert "it was made from another event log" in stack.said()
        assert "--restore-log=missing" in stack.said()

        stack.environment["MODELYARD_RESTORE_LOG"] = "missing"
        await stack.start()
        async with stack.client() as client:
            again = await until_instances(client, made["id"], running_count(1))
            assert [item["id"] for item in again] == [item["id"] for item in served]
            assert await story_of_all(client, last) == before
