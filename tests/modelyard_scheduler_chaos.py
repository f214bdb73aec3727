"""A cluster in which messages are lost, late and doubled, workers die and schedulers lose their lease, all by
one seed: agents and what is between them and two real schedulers."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.envelope import Cause
from modelyard_contracts.events import (
    InstanceFailed,
    InstanceMemberPrepared,
    InstanceMemberStarted,
    InstanceRunning,
    InstanceStarting,
    InstanceStopped,
    WorkerInventoryChanged,
    WorkerReady,
)
from modelyard_contracts.failures import FailureCause
from modelyard_contracts.messages import FileWant, Heartbeat, Observation, Want
from modelyard_eventlog.leases import LeaseLost
from modelyard_eventlog.log import AnyRecorded, Appended, LogPosition, LogUnavailable, Write
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_eventlog.observations import Observed
from modelyard_placement.demand import PathSaid
from modelyard_scheduler_world import START

LEASE_S = 3.0


def now() -> datetime:
    return START + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Weather:
    """How much goes wrong. After `calm`, nothing more does."""

    chance: Random
    bad: bool = True

    def happens(self, share: float) -> bool:
        return self.bad and self.chance.random() < share

    async def delay(self, most_s: float) -> None:
        await asyncio.sleep(self.chance.random() * (most_s if self.bad else 0.001))

    def calm(self) -> None:
        self.bad = False


@dataclass
class LossyLog:
    """One scheduler's way to the log: an append may fail, before or after it was kept."""

    log: InMemoryEventLog
    weather: Weather
    away: bool = False

    async def append(self, writes: Sequence[Write], cause: Cause) -> Appended:
        await self.weather.delay(0.02)
        if self.away or self.weather.happens(0.02):
            raise LogUnavailable("lost on the way")
        appended = await self.log.append(writes, cause)
        if self.weather.happens(0.02):
            raise LogUnavailable("the answer was lost")
        return appended

    async def position(self) -> LogPosition:
        await self.weather.delay(0.01)
        if self.away:
            raise LogUnavailable("away")
        return await self.log.position()

    async def load(self, aggregate: Aggregate, ident: str, *, after: int = 0) -> list[AnyRecorded]:
        return await self.log.load(aggregate, ident, after=after)

    async def get(self, seq: int) -> AnyRecorded | None:
        return await self.log.get(seq)

    async def follow(self, after: int, *, batch: int = 500) -> AsyncIterator[list[AnyRecorded]]:
        async for events in self.log.follow(after, batch=batch):
            await self.weather.delay(0.05)
            while self.away:
                await asyncio.sleep(0.5)
            yield events


@dataclass
class Holder:
    name: str = ""
    renewed_at: float = -LEASE_S
    position: int = 0


@dataclass
class SharedLease:
    """As the real one, in memory: who is silent for three seconds loses it."""

    shared: Holder
    name: str
    log: LossyLog
    position: int = 0

    async def take(self) -> None:
        loop = asyncio.get_running_loop()
        while self.log.away or (
            self.shared.name not in ("", self.name) and loop.time() - self.shared.renewed_at < LEASE_S
        ):
            await asyncio.sleep(0.25)
        self.position = self.shared.position
        self.shared.name, self.shared.renewed_at = self.name, loop.time()

    async def keep(self) -> None:
        if self.log.away:
            raise LogUnavailable("away")
        if self.shared.name != self.name:
            raise LeaseLost(f"{self.shared.name} took over")
        self.shared.renewed_at, self.shared.position = asyncio.get_running_loop().time(), self.position

    async def release(self) -> None:
        self.shared.renewed_at = -LEASE_S


@dataclass
class Between:
    """Wants, observations and timers on their way. It lasts: only delivery is late, doubled, or (of timers)
    lost, as the real streams have it."""

    weather: Weather
    wants: dict[tuple[int, int], Want] = field(default_factory=dict)
    said: list[Observation] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)
    rung: list[tuple[float, str]] = field(default_factory=list)

    async def put(self, want: Want) -> None:
        if self.weather.happens(0.02):
            raise LogUnavailable("a want was lost")
        self.wants[want.worker_id, want.instance_id] = want

    async def forget(self, worker_id: int, instance_id: int) -> None:
        self.wants.pop((worker_id, instance_id), None)

    async def put_file(self, want: FileWant) -> None:
        raise AssertionError("nobody asked for files")

    async def forget_file(self, worker_id: int, file_id: int) -> None:
        raise AssertionError("nobody asked for files")

    async def read_files(self) -> dict[tuple[int, int], FileWant]:
        return {}

    async def read_all(self) -> dict[tuple[int, int], Want]:
        return dict(self.wants)

    async def set(self, name: str, at: datetime) -> None:
        if self.weather.happens(0.1):
            return
        due = (at - START).total_seconds()
        self.rung += [(due, name)] * (2 if self.weather.happens(0.2) else 1)

    async def ask(self, path: str, worker_ids: Collection[int]) -> Mapping[int, PathSaid]:
        await self.weather.delay(0.1)
        return {ident: "no answer" if self.weather.happens(0.05) else True for ident in worker_ids}

    def placeable(self, instance_ids: Iterable[int]) -> list[int]:
        return list(instance_ids)

    async def say(self, observation: Observation) -> None:
        self.said.append(observation)
        async with self.heard:
            self.heard.notify_all()

    async def follow(self, after: int) -> AsyncIterator[Observed]:
        position = after
        while True:
            async with self.heard:
                while len(self.said) <= position:
                    await self.heard.wait()
            await self.weather.delay(0.05)
            found = tuple(self.said[position:])
            position += len(found)
            yield Observed(position, found)


@dataclass
class SimulatedAgent:
    """A worker: it says it is there, beats, and does what is wanted of it, as long as it lives."""

    ident: int
    inventory: WorkerInventoryChanged
    between: Between
    weather: Weather
    sessions: int = 0
    alive: bool = True
    silent: bool = False
    done: dict[int, int] = field(default_factory=dict)
    """Attempts that run, by instance."""
    numbers: int = 0

    async def run(self, beats: list[Heartbeat]) -> None:
        await self._say(WorkerReady(worker_id=self.ident, address="a", agent_version="1", session="s0"))
        await self._say(self.inventory)
        while True:
            await asyncio.sleep(1.0)
            if not self.alive:
                continue
            if not self.silent:
                beats.append(Heartbeat(worker_id=self.ident, session=f"s{self.sessions}", sent_at=now()))
                await self._obey()
            if self.done and self.weather.happens(0.01):
                await self._fail(self.weather.chance.choice(sorted(self.done)))

    async def come_back(self) -> None:
        """The machine starts anew: nothing runs on it."""
        for instance_id in sorted(self.done):
            await self._fail(instance_id)
        self.alive, self.silent, self.sessions = True, False, self.sessions + 1
        session = f"s{self.sessions}"
        await self._say(WorkerReady(worker_id=self.ident, address="a", agent_version="1", session=session))

    async def _obey(self) -> None:
        for (worker_id, instance_id), want in sorted(self.between.wants.items()):
            if worker_id != self.ident:
                continue
            attempt = self.done.get(instance_id, -1)
            if want.state == "absent":
                self.done.pop(instance_id, None)
                await self._say(self._of(InstanceStopped, want, want.attempt))
            elif want.state == "halted":
                self.done.pop(instance_id, None)
            elif want.attempt > max(attempt, self._failed.get(instance_id, -1)):
                await self._start(want)

    async def _start(self, want: Want) -> None:
        """Of a group, its part: prepared first, then started in its turn; the primary one serves."""
        if want.group is not None and not want.group.start:
            ready = {"address": "a", "interface": "eth0", "ports": () if want.group.rank else (1,)}
            return await self._say(self._of(InstanceMemberPrepared, want, want.attempt, **ready))
        self.done[want.instance_id], self._wants[want.instance_id] = want.attempt, want
        process = {"pid": 1, "command": ("x",)}
        if want.group is not None and want.group.rank:
            return await self._say(self._of(InstanceMemberStarted, want, want.attempt, **process))
        await self._say(self._of(InstanceStarting, want, want.attempt, **process))
        run = {"host": "a", "port": 1, "pid": 1, "backend_version": "1", "startup_s": 1.0}
        return await self._say(self._of(InstanceRunning, want, want.attempt, **run))

    _failed: dict[int, int] = field(default_factory=dict)
    _wants: dict[int, Want] = field(default_factory=dict)

    async def _fail(self, instance_id: int) -> None:
        attempt = self.done.pop(instance_id)
        self._failed[instance_id] = attempt
        cause = {"cause": FailureCause.CRASHED, "message": "it crashed"}
        await self._say(self._of(InstanceFailed, self._wants[instance_id], attempt, **cause))

    def _of(self, kind: type[Event], want: Want, attempt: int, **more: object) -> Event:
        who = {"instance_id": want.instance_id, "deployment_id": want.deployment_id, "worker_id": self.ident}
        return kind.model_validate({**who, "attempt": attempt, **more})

    async def _say(self, event: Event) -> None:
        self.numbers += 1
        observation = Observation(
            id=f"{self.ident}/{self.numbers}",
            worker_id=self.ident,
            event_type=type(event).__name__,
            version=event.version,
            data=event.model_dump(mode="json"),
            observed_at=now(),
            correlation_id="c",
            causation_id="c",
            actor=f"worker/{self.ident}",
        )
        for _ in range(2 if self.weather.happens(0.05) else 1):
            await self.between.say(observation)
