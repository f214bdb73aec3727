"""Two agents on two loopback addresses and a scheduler, for an instance that runs on both."""

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim, DeploymentSpec, Source, Subordinate
from modelyard_contracts.envelope import Cause
from modelyard_contracts.events import (
    Decision,
    DeploymentDeleted,
    DeploymentRequested,
    InstanceRequested,
    InstanceScheduled,
    WorkerRegistered,
)
from modelyard_eventlog.log import AnyRecorded, LogUnavailable, Write
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_runtime.clock import now
from modelyard_runtime.secrets import Sealer
from modelyard_worker_agent_world import Machine, processes_of
from nats.aio.client import Client
from waiting import until_async

GROUP_SERVER = Path(__file__).parent / "group_server" / "serve.py"
INSTANCE, DEPLOYMENT = 17, 5
WORKERS = (3, 4)


@dataclass
class Group:
    """The instance is on `machines[0]`, its primary worker, and on `machines[1]`."""

    log: NatsEventLog
    machines: tuple[Machine, Machine]
    programs: str
    """Settings of backend programs, as JSON."""
    sealer: Sealer
    scheduler: "subprocess.Popen[bytes] | None" = None
    told: int = 0
    facts: list[AnyRecorded] = field(default_factory=list)

    def start_agent(self, number: int, **env: str) -> None:
        settings = {
            "MODELYARD_WORKER_ADDRESS": f"127.0.0.{number + 2}",
            "MODELYARD_BACKEND_PROGRAMS": self.programs,
            **env,
        }
        self.machines[number].start_agent(**settings)

    def start_scheduler(self) -> None:
        flags = {"reconcile-s": 1, "restart-base-s": 0.3, "silent-after-s": 300}
        with (self.machines[0].state.parent / "scheduler.log").open("ab") as log:
            self.scheduler = subprocess.Popen(
                [
                    *(sys.executable, "-m", "modelyard_scheduler"),
                    *(f"--{name}={value}" for name, value in flags.items()),
                    f"--nats={self.machines[0].nats_url}",
                ],
                stdout=log,
                stderr=log,
            )

    async def happen(self, *events: Event) -> None:
        for event in events:
            self.told += 1
            cause = Cause(
                command_id=f"test-{self.told}",
                actor="user/1",
                source="test",
                time=now(),
                correlation_id="test",
                causation_id="test",
            )
            await self.log.append([Write(event, None)], cause)

    async def is_placed(self, model: Path, *parameters: str, env: dict[str, str] | None = None) -> None:
        """As the api and the scheduler say it."""
        spec = DeploymentSpec(
            source=Source.LOCAL_PATH,
            local_path=str(model),
            backend="vLLM",
            backend_parameters=parameters,
            env={name: self.sealer.seal(value) for name, value in (env or {}).items()},
        )
        who = {"instance_id": INSTANCE, "deployment_id": DEPLOYMENT}
        await self.happen(
            *(registered(worker_id) for worker_id in WORKERS),
            DeploymentRequested(deployment_id=DEPLOYMENT, name="chat", cluster_id=1, replicas=1, spec=spec),
            InstanceRequested(
                **who, name="chat-17", deployment_name="chat", cluster_id=1, spec=spec, spec_seq=1
            ),
            InstanceScheduled(
                **who,
                worker_id=WORKERS[0],
                worker_name="w3",
                claim=Claim(),
                subordinates=(Subordinate(worker_id=WORKERS[1], worker_name="w4", claim=Claim()),),
                decision=Decision(policy="test", decided_at_seq=1),
            ),
        )
        self.start_scheduler()

    async def deletes(self) -> None:
        await self.happen(DeploymentDeleted(deployment_id=DEPLOYMENT, name="chat"))

    async def story(self) -> list[AnyRecorded]:
        """What the log has of the instance."""
        position = self.facts[-1].seq if self.facts else 0
        end = (await self.log.position()).last_seq
        if position < end:
            async for batch in self.log.follow(position):
                self.facts += batch
                if self.facts[-1].seq >= end:
                    break
        return [
            fact for fact in self.facts if fact.aggregate()[1] == str(INSTANCE) and "nstance" in fact.type
        ]

    async def fact(self, kind: str, *, count: int = 1, seconds: float = 60) -> Any:
        """Waits for so many of a kind, and gives the last."""
        found: list[Any] = []

        async def there() -> bool:
            with suppress(LogUnavailable):  # a busy machine
                found[:] = [fact.data for fact in await self.story() if fact.type == kind]
            return len(found) >= count

        try:
            await until_async(there, seconds)
        except TimeoutError:
            story = [(fact.type, fact.data) for fact in await self.story()]
            logs = "\n".join(machine.log_of_agent()[-3000:] for machine in self.machines)
            raise AssertionError(f"no {kind}; there is: {story}\n{logs}") from None
        return found[count - 1]

    def servers(self, number: int) -> list[psutil.Process]:
        """Without the shims."""
        ours = ("shim.py", "launchers.relay")
        return [
            process
            for process in processes_of(self.machines[number].state)
            if not any(word in " ".join(process.cmdline()) for word in ours)
        ]

    def clean_up(self) -> None:
        if self.scheduler is not None:
            self.scheduler.kill()
            self.scheduler.wait()
        for machine in self.machines:
            machine.clean_up()


def registered(worker_id: int) -> WorkerRegistered:
    return WorkerRegistered(
        worker_id=worker_id,
        name=f"w{worker_id}",
        worker_uuid=f"uuid-{worker_id}",
        public_key="key",
        cluster_id=1,
        hostname=f"w{worker_id}",
        labels={},
    )


@asynccontextmanager
async def group_at(
    directory: Path, nats_url: str, nc: Client, programs: str, *, started: Sequence[int] = (0, 1)
) -> AsyncIterator[Group]:
    key = Sealer.new_key()
    machines = tuple(
        Machine(directory / f"machine-{worker_id}" / "worker", nats_url, nc, worker_id, key)
        for worker_id in WORKERS
    )
    for machine in machines:
        await machine.prepare()
    group = Group(NatsEventLog(nc), (machines[0], machines[1]), programs, Sealer(key))
    try:
        for number in started:
            group.start_agent(number)
        yield group
    finally:
        group.clean_up()
