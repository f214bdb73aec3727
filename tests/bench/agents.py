"""A thousand agents in one process: they say they are ready, beat, and do at once what they are told.

python -m bench.agents NATS_URL WORKERS HEARTBEAT_S
"""

import asyncio
import sys
from datetime import UTC, datetime

import nats
from modelyard_contracts.base import Event
from modelyard_contracts.events import (
    InstanceRunning,
    InstanceStarting,
    InstanceStopped,
    WorkerInventoryChanged,
    WorkerReady,
)
from modelyard_contracts.inventory import GpuDevice, Inventory
from modelyard_contracts.messages import Heartbeat, Observation, Want
from modelyard_contracts.telemetry import DeviceUse, Telemetry
from modelyard_eventlog import subjects
from modelyard_eventlog.heartbeats import Heartbeats
from modelyard_eventlog.observations import Observations
from modelyard_eventlog.reader import PullReader
from nats.aio.client import Client

GIB = 1024**3
SESSION = "bench"


GPUS = 8


def inventory() -> Inventory:
    return Inventory(
        os="linux",
        kernel="6",
        architecture="x86_64",
        cpu_count=64,
        memory_total_bytes=1024 * GIB,
        gpu_devices=tuple(
            GpuDevice(
                vendor="nvidia",
                type="cuda",
                index=index,
                name="gpu-80",
                uuid=f"gpu-{index}",
                memory_total_bytes=80 * GIB,
                compute_capability="9.0",
            )
            for index in range(GPUS)
        ),
        backends={"vLLM": "1"},
    )


def telemetry(now: datetime) -> Telemetry:
    used = [
        DeviceUse(device=f"cuda:{index}", memory_used_bytes=GIB, utilization_percent=50)
        for index in range(GPUS)
    ]
    return Telemetry(read_at=now, cpu_percent=10, memory_used_bytes=GIB, devices=tuple(used))


class Agents:
    def __init__(self, nc: Client, workers: int, heartbeat_s: float) -> None:
        self._observations = Observations(nc)
        self._heartbeats = Heartbeats(nc, ttl_s=10)
        self._nc = nc
        self._workers = range(1, workers + 1)
        self._heartbeat_s = heartbeat_s

    async def run(self) -> None:
        for ident in self._workers:
            ready = WorkerReady(worker_id=ident, address="127.0.0.1", agent_version="1", session=SESSION)
            await self._say(ident, ready, f"ready/{ident}")
            has = WorkerInventoryChanged(worker_id=ident, inventory=inventory())
            await self._say(ident, has, f"inventory/{ident}")
        print("ready", flush=True)
        await asyncio.gather(self._beat(), self._obey())

    async def _beat(self) -> None:
        """Spread over the interval, as agents that started at different times are."""
        pause_s = self._heartbeat_s / len(self._workers)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            for ident in self._workers:
                now = datetime.now(UTC)
                beat = Heartbeat(worker_id=ident, session=SESSION, sent_at=now, telemetry=telemetry(now))
                await self._heartbeats.beat(beat)
                due += pause_s
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())

    async def _obey(self) -> None:
        done: set[tuple[int, str, int]] = set()
        reader = PullReader(self._nc, subjects.DESIRED, subject="want.>")
        async for messages in reader.batches(500):
            wants = [Want.model_validate_json(message.data) for _, message in messages if message.data]
            new = [want for want in wants if (want.instance_id, want.state, want.attempt) not in done]
            done.update((want.instance_id, want.state, want.attempt) for want in new)
            await asyncio.gather(*(self._do(want) for want in new))

    async def _do(self, want: Want) -> None:
        of = {
            "instance_id": want.instance_id,
            "deployment_id": want.deployment_id,
            "worker_id": want.worker_id,
            "attempt": want.attempt,
        }
        ident = f"{want.instance_id}/{want.attempt}"
        if want.state == "absent":
            await self._say(want.worker_id, InstanceStopped.model_validate(of), f"stopped/{ident}")
            return
        starting = InstanceStarting.model_validate({**of, "pid": 1, "command": ("server",)})
        await self._say(want.worker_id, starting, f"starting/{ident}")
        running = InstanceRunning.model_validate(
            {**of, "host": "127.0.0.1", "port": 1, "pid": 1, "backend_version": "1", "startup_s": 0.1}
        )
        await self._say(want.worker_id, running, f"running/{ident}")

    async def _say(self, worker_id: int, event: Event, ident: str) -> None:
        await self._observations.publish(
            Observation(
                id=ident,
                worker_id=worker_id,
                event_type=type(event).__name__,
                version=event.version,
                data=event.model_dump(mode="json"),
                observed_at=datetime.now(UTC),
                correlation_id=ident,
                causation_id=ident,
                actor=f"worker/{worker_id}",
            )
        )


async def main(url: str, workers: int, heartbeat_s: float) -> None:
    nc = await nats.connect(url, pending_size=0)
    await Agents(nc, workers, heartbeat_s).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
