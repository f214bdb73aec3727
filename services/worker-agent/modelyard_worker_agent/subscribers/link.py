"""The agent's connection to NATS: it says that it is there, sends its facts, hears what is wanted."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import nats.errors
import structlog
from modelyard_contracts.events import WorkerInventoryChanged, WorkerReady
from modelyard_contracts.inventory import Inventory, ModelDisk
from modelyard_contracts.join import JoinAnswer
from modelyard_contracts.messages import DownloadLogQuestion, Heartbeat, LogQuestion, PathQuestion
from modelyard_eventlog.connection import connect
from modelyard_eventlog.credentials import worker_inbox_prefix
from modelyard_eventlog.desired import DesiredState
from modelyard_eventlog.heartbeats import Heartbeats
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.observations import Observations
from modelyard_eventlog.questions import Questions
from modelyard_runtime.clock import Now
from modelyard_runtime.settings import NatsSettings
from nats.aio.client import Client

from modelyard_worker_agent.adapters.gauge import Gauge
from modelyard_worker_agent.adapters.identity import IdentityFiles
from modelyard_worker_agent.adapters.inventory import take_inventory
from modelyard_worker_agent.adapters.local_models import answer_path
from modelyard_worker_agent.adapters.logfiles import DownloadLogs, LogFiles
from modelyard_worker_agent.adapters.outbox import Outbox
from modelyard_worker_agent.adapters.programs import Programs
from modelyard_worker_agent.handlers.agent import Agent
from modelyard_worker_agent.handlers.model_files import ModelFiles
from modelyard_worker_agent.handlers.renewal import Renewal

logger = structlog.stdlib.get_logger()

LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Presence:
    """How this worker shows itself. `session` is of one run of the agent."""

    session: str
    address: str
    agent_version: str
    reserved_ram_bytes: int
    heartbeat_s: float
    inventory_s: float
    silent_after_s: float


@dataclass
class Link:
    presence: Presence
    renewal: Renewal
    identity: IdentityFiles
    agent: Agent
    files: ModelFiles
    outbox: Outbox
    logs: LogFiles
    download_logs: DownloadLogs
    gauge: Gauge
    programs: Programs
    model_disk: Callable[[], ModelDisk]
    now: Now
    ca: str | None = None
    """Whom to trust for TLS, as in the settings."""
    _nc: Client | None = None
    _said_ready: bool = False
    _inventory: Inventory | None = None
    _inventories: int = 0

    async def run(self) -> None:
        """One connection at a time, without end: a new one for new credentials, and if it was closed, as it
        is by a server on which the credentials expired."""
        while True:
            self.renewal.changed.clear()
            connected = asyncio.create_task(self._connected(self.renewal.answer))
            changed = asyncio.create_task(self.renewal.changed.wait())
            try:
                await asyncio.wait({connected, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                await _end(connected)
            if not connected.cancelled():
                connected.result()
            await asyncio.sleep(LOOK_S)

    def trouble(self) -> str | None:
        return None if self._nc is not None and self._nc.is_connected else "not connected to NATS"

    async def _connected(self, joined: JoinAnswer) -> None:
        settings = NatsSettings(
            nats=joined.nats_url,
            nats_credentials=self.identity.credentials if joined.nats_jwt else None,
            ca=self.ca,
        )
        prefix = worker_inbox_prefix(joined.worker_id)
        nc = await connect(settings, name=f"modelyard-worker-{joined.worker_id}", inbox_prefix=prefix)
        self._nc = nc
        try:
            questions = Questions(nc)
            await questions.answer(joined.worker_id, "path", PathQuestion, answer_path)
            await questions.answer(joined.worker_id, "logs", LogQuestion, self.logs.answer)
            await questions.answer(
                joined.worker_id, "download_logs", DownloadLogQuestion, self.download_logs.answer
            )
            await self._work(nc, joined.worker_id)
        except nats.errors.Error as error:
            logger.warning("nats closed the connection at once", error=str(error))
        finally:
            await nc.close()

    async def _work(self, nc: Client, worker_id: int) -> None:
        """Until the connection is closed; one that is only lost comes back by itself."""
        heartbeats = Heartbeats(nc, ttl_s=self.presence.silent_after_s)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.outbox.send(Observations(nc))),
                group.create_task(self._beat(heartbeats, worker_id)),
                group.create_task(self._watch_inventory(worker_id)),
                group.create_task(self.agent.follow(DesiredState(nc).follow(worker_id))),
                group.create_task(self.files.follow(DesiredState(nc).follow_files(worker_id))),
            ]
            while not nc.is_closed:
                await asyncio.sleep(LOOK_S)
            logger.warning("nats closed the connection", error=str(nc.last_error))
            for task in tasks:
                task.cancel()

    def _say_ready(self, worker_id: int) -> None:
        """Once in a run of the agent, after what it has: before, nothing could be placed there."""
        if self._said_ready:
            return
        ready = WorkerReady(
            worker_id=worker_id,
            address=self.presence.address,
            agent_version=self.presence.agent_version,
            session=self.presence.session,
        )
        self.outbox.say_of_worker(ready, ident=f"obs/{worker_id}/{self.presence.session}/WorkerReady")
        self._said_ready = True

    async def _beat(self, heartbeats: Heartbeats, worker_id: int) -> None:
        while True:
            beat = Heartbeat(
                worker_id=worker_id,
                session=self.presence.session,
                sent_at=self.now(),
                telemetry=self.gauge.latest,
            )
            try:
                await heartbeats.beat(beat)
            except LogUnavailable as error:
                logger.debug("no heartbeat", error=str(error))
            await asyncio.sleep(self.presence.heartbeat_s)

    async def _watch_inventory(self, worker_id: int) -> None:
        """States what the machine has at each start of the agent, and whenever that changes.

        An agent cannot know what the log holds: what it stated may have expired unread, and the log may have
        been restored. So each run states it once; the scheduler admits only what is new.
        """
        reserved = self.presence.reserved_ram_bytes
        while True:
            inventory = await asyncio.to_thread(
                take_inventory,
                self.gauge.accelerators,
                self.programs.installed,
                self.model_disk,
                reserved_ram_bytes=reserved,
            )
            if inventory != self._inventory:
                self._inventories += 1
                stated = f"{self.presence.session}/WorkerInventoryChanged/{self._inventories}"
                self.outbox.say_of_worker(
                    WorkerInventoryChanged(worker_id=worker_id, inventory=inventory),
                    ident=f"obs/{worker_id}/{stated}",
                )
                self._inventory = inventory
            self._say_ready(worker_id)
            await asyncio.sleep(self.presence.inventory_s)


async def _end(task: "asyncio.Task[None]") -> None:
    """nats-py may swallow a cancellation while it connects, and goes on."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=LOOK_S)
