"""Schedulers as processes of their own, on a real nats-server: killed, started anew, two at once."""

import asyncio
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import NatsServer
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.events import (
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceScheduled,
    InstanceUnschedulable,
    WorkerDevicesReserved,
)
from modelyard_contracts.messages import Want
from modelyard_eventlog import subjects
from modelyard_eventlog.desired import DesiredState
from modelyard_eventlog.log import AnyRecorded
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.provision import provision
from modelyard_placement.claims import Place, Sizer
from modelyard_placement.demand import demand_of
from modelyard_scheduler_cluster import Cluster
from modelyard_scheduler_world import deployment, failed, inspected, inventory, ready, registered, starting
from nats.aio.client import Client
from waiting import until

HUB = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/repo", backend="own-custom")
"""No worker has to be asked about it."""


def claim_bytes() -> int:
    """What an instance of it takes."""
    sized = Sizer().size(demand_of("chat", HUB, model=inspected(HUB).facts), Place(()))
    assert not isinstance(sized, str), sized
    return sized.ram_bytes[0]


def hub_worker(ident: int = 1, *, slots: int = 8) -> Sequence[Event]:
    room = inventory(ident, ram_bytes=slots * claim_bytes(), backend="own-custom")
    return (registered(ident), ready(ident), room)


WORKERS, SLOTS = 3, 8
DEPLOYMENTS, REPLICAS = 6, 6


@dataclass
class World:
    """What happens on the server, as somebody sees who is no scheduler."""

    nc: Client
    cluster: Cluster
    seen: list[AnyRecorded] = field(default_factory=list)
    wants: dict[int, Want] = field(default_factory=dict)

    def facts(self, kind: type[Event]) -> list[Any]:
        return [event.data for event in self.seen if isinstance(event.data, kind)]

    def wanted_attempt(self, instance_id: int) -> int | None:
        want = self.wants.get(instance_id)
        return want.attempt if want else None

    async def timers(self) -> set[str]:
        info = await self.nc.jetstream().stream_info(subjects.TIMERS, subjects_filter=">")
        return set(info.state.subjects or {})

    async def follow_log(self) -> None:
        async for batch in self.cluster.log.follow(0):
            self.seen.extend(batch)

    async def follow_wants(self) -> None:
        async for want in DesiredState(self.nc).follow(1):
            self.wants[want.instance_id] = want


@pytest.fixture
async def world(own_nats: Client) -> AsyncIterator[World]:
    await provision(own_nats)
    world = World(own_nats, Cluster(NatsEventLog(own_nats)))
    await world.cluster.tell(inspected(HUB))
    following = [asyncio.create_task(world.follow_log()), asyncio.create_task(world.follow_wants())]
    yield world
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)


@dataclass
class Schedulers:
    server: NatsServer
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *, reconcile_s: float = 0.3, restart_base_s: float = 0.5) -> subprocess.Popen[bytes]:
        flags = {
            "nats": self.server.url,
            "reconcile-s": reconcile_s,
            "restart-base-s": restart_base_s,
            "silent-after-s": 300,
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "modelyard_scheduler", *(f"--{k}={v}" for k, v in flags.items())],
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    @property
    def log(self) -> Path:
        return self.server.directory / "schedulers.log"

    def said(self) -> str:
        return self.log.read_text()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait(10)


@pytest.fixture
def schedulers(own_nats_server: NatsServer) -> Iterator[Schedulers]:
    found = Schedulers(own_nats_server)
    yield found
    for process in found.processes:
        found.kill(process)


async def test_two_at_once_of_which_one_is_killed_place_each_instance_once_and_take_no_room_twice(
    world: World, schedulers: Schedulers
) -> None:
    for ident in range(1, WORKERS + 1):
        await world.cluster.tell(*hub_worker(ident, slots=SLOTS))
    first = schedulers.start(reconcile_s=0.05)
    await until(lambda: "at work" in schedulers.said())
    schedulers.start(reconcile_s=0.05)
    await until(lambda: schedulers.said().count("scheduler is up") == 2)
    for ident in range(1, DEPLOYMENTS + 1):
        await world.cluster.tell(deployment(ident, replicas=REPLICAS, spec=HUB))
    await until(lambda: len(world.facts(InstanceScheduled)) > WORKERS)
    schedulers.kill(first)

    def everything_is_placed_or_waits() -> bool:
        placed = {event.instance_id for event in world.facts(InstanceScheduled)}
        waiting = {event.instance_id for event in world.facts(InstanceUnschedulable)}
        return len(placed) == WORKERS * SLOTS and len(placed | waiting) == DEPLOYMENTS * REPLICAS

    await until(everything_is_placed_or_waits)
    assert schedulers.said().count("at work") == 2, "the other took over"
    requested = Counter(event.deployment_id for event in world.facts(InstanceRequested))
    assert requested == {ident: REPLICAS for ident in range(1, DEPLOYMENTS + 1)}
    assert set(Counter(event.instance_id for event in world.facts(InstanceScheduled)).values()) == {1}
    taken: dict[int, int] = defaultdict(int)
    for reserved in world.facts(WorkerDevicesReserved):
        taken[reserved.worker_id] += reserved.claim.ram_bytes
    assert taken == {ident: SLOTS * claim_bytes() for ident in range(1, WORKERS + 1)}


async def test_one_that_is_killed_between_a_failure_and_its_restart_goes_on_when_started_anew(
    world: World, schedulers: Schedulers
) -> None:
    await world.cluster.tell(*hub_worker(), deployment(spec=HUB))
    first = schedulers.start()
    await until(lambda: world.wanted_attempt(1) == 0)
    await world.cluster.tell(starting(0, ident=1), failed(0, ident=1))
    await until(lambda: world.wanted_attempt(1) == 1)
    await world.cluster.tell(starting(1, ident=1))
    schedulers.kill(first)
    await world.cluster.tell(failed(1, ident=1))

    # so seldom a sweep that only a timer can tell the worker in time
    schedulers.start(reconcile_s=600)
    await until(lambda: world.wanted_attempt(1) == 2)
    told = [(event.attempt, event.streak) for event in world.facts(InstanceRestartScheduled)]
    assert told == [(1, 1), (2, 2)]
    delays = [event.delay_s for event in world.facts(InstanceRestartScheduled)]
    assert delays == [pytest.approx(0.5, rel=0.11), pytest.approx(1.0, rel=0.11)]
    assert subjects.timer_fired("restart.1.2") in await world.timers()


async def test_a_restart_that_comes_due_while_no_scheduler_is_there_is_not_missed(
    world: World, schedulers: Schedulers
) -> None:
    await world.cluster.tell(*hub_worker(), deployment(spec=HUB))
    first = schedulers.start(restart_base_s=1.5)
    await until(lambda: world.wanted_attempt(1) == 0)
    await world.cluster.tell(starting(0, ident=1), failed(0, ident=1))
    await until(lambda: bool(world.facts(InstanceRestartScheduled)))
    async with asyncio.timeout(10):
        while subjects.timer_set("restart.1.1") not in await world.timers():
            await asyncio.sleep(0.02)
        schedulers.kill(first)
        while subjects.timer_fired("restart.1.1") not in await world.timers():
            await asyncio.sleep(0.02)
    assert world.wanted_attempt(1) == 0
    schedulers.start(restart_base_s=1.5, reconcile_s=600)
    await until(lambda: world.wanted_attempt(1) == 1)


async def test_a_timer_that_the_server_lost_is_made_up_for_by_a_sweep(
    world: World, schedulers: Schedulers
) -> None:
    await world.cluster.tell(*hub_worker(), deployment(spec=HUB))
    schedulers.start(restart_base_s=1.5)
    await until(lambda: world.wanted_attempt(1) == 0)
    await world.cluster.tell(starting(0, ident=1), failed(0, ident=1))
    async with asyncio.timeout(10):
        while subjects.timer_set("restart.1.1") not in await world.timers():
            await asyncio.sleep(0.02)
    await world.nc.jetstream().purge_stream(subjects.TIMERS)
    assert world.wanted_attempt(1) == 0
    await until(lambda: world.wanted_attempt(1) == 1)
    assert await world.timers() == set()
