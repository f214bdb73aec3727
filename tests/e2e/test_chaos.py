"""kill -9 of every process in turn while commands run: nothing acknowledged is lost, nothing healthy dies."""

import asyncio
import os
from pathlib import Path

import httpx
import nats
from e2e.stack import Stack, chat, deploy, running, running_count, story, until_instances
from modelyard_contracts.events import DeploymentDeleted, DeploymentRequested, DeploymentUpdated
from modelyard_eventlog.nats_log import NatsEventLog

VICTIMS = [
    "nats-server",
    "modelyard_api",
    "modelyard_scheduler",
    "modelyard_gateway",
    "modelyard_worker_agent",
    "postgres",
]


class Commands:
    """Sends commands without pause and remembers what was acknowledged."""

    def __init__(self, client: httpx.AsyncClient, model: Path) -> None:
        self.client = client
        self.model = model
        self.acknowledged: dict[int, str] = {}
        self.refused: list[str] = []
        self.running = True

    async def run(self) -> None:
        number = 0
        while self.running:
            number += 1
            name = f"chaos-{number}"
            body = {"name": name, "source": "local_path", "local_path": str(self.model), "replicas": 0}
            made = await self._send("POST", "/v2/models", f"make-{number}", body)
            if made is None:
                continue
            ident: int = made["id"]
            self.acknowledged[ident] = ""
            if (
                await self._send("PUT", f"/v2/models/{ident}", f"edit-{number}", {"description": name})
                is not None
            ):
                self.acknowledged[ident] = name

    async def _send(self, method: str, path: str, key: str, body: dict[str, object]) -> dict[str, int] | None:
        """Tries the same command until it is acknowledged or refused for good."""
        for _ in range(200):
            try:
                answer = await self.client.request(method, path, json=body, headers={"Idempotency-Key": key})
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
                continue
            if answer.status_code == 200:
                found: dict[str, int] = answer.json()
                return found
            if answer.status_code not in (500, 502, 503, 504):
                self.refused.append(answer.text)
                return None
            await asyncio.sleep(0.1)
        return None


async def test_nothing_acknowledged_is_lost_and_nothing_healthy_dies(tiny_model: Path) -> None:
    async with running() as stack, stack.client() as api, stack.client(stack.gateway_url) as gateway:
        model = await deploy(api, tiny_model, "steady")
        [instance] = await until_instances(api, model["id"], running_count(1))
        commands = Commands(api, tiny_model)
        sending = asyncio.create_task(commands.run())
        for victim in VICTIMS:
            before = len(commands.acknowledged)
            await _more_commands(commands, before + 2)
            assert stack.kill(victim), victim
            await _more_commands(commands, len(commands.acknowledged) + 3)
            await stack.wait_until_ready()
        commands.running = False
        await asyncio.wait_for(sending, 60)

        assert commands.refused == []
        life = [event["type"] for event in await story(api, f"instance/{instance['id']}")]
        assert life == ["InstanceRequested", "InstanceScheduled", "InstanceStarting", "InstanceRunning"]
        os.kill(instance["pid"], 0)
        [same] = await until_instances(api, model["id"], running_count(1))
        assert (same["id"], same["pid"], same["restart_count"]) == (instance["id"], instance["pid"], 0)
        async with asyncio.timeout(10):
            while (await chat(gateway, "steady")).status_code != 200:
                await asyncio.sleep(0.05)
        await _compare(stack, api, commands.acknowledged)


async def _more_commands(commands: Commands, count: int) -> None:
    async with asyncio.timeout(90):
        while len(commands.acknowledged) < count:
            await asyncio.sleep(0.02)


async def _compare(stack: Stack, api: httpx.AsyncClient, acknowledged: dict[int, str]) -> None:
    """The folded log, Postgres as the api shows it, and what was acknowledged agree."""
    folded: dict[int, tuple[str, str | None]] = {}
    client = await nats.connect(
        f"nats://127.0.0.1:{stack.nats_port}", user_credentials=str(stack.state / "nats" / "api.creds")
    )
    log = NatsEventLog(client)
    last = (await log.position()).last_seq
    async for batch in log.follow(0):
        for event in batch:
            match event.data:
                case DeploymentRequested(deployment_id=ident, name=name, spec=spec):
                    folded[ident] = (name, spec.description)
                case DeploymentUpdated(deployment_id=ident, name=name, spec=spec):
                    folded[ident] = (name, spec.description)
                case DeploymentDeleted(deployment_id=ident):
                    del folded[ident]
        if batch[-1].seq >= last:
            break
    await client.close()

    shown = (await api.get("/v2/models", params={"page": -1, "min_seq": last})).json()["items"]
    assert {item["id"]: (item["name"], item["description"]) for item in shown} == folded
    for ident, description in acknowledged.items():
        assert ident in folded, f"acknowledged deployment {ident} is lost"
        assert not description or folded[ident][1] == description
    assert len({name for name, _ in folded.values()}) == len(folded)

    archived = (await api.get("/v2/events", params={"limit": 1000, "since": last - 1})).json()["items"]
    assert archived[-1]["sequence"] >= last
