"""One or more schedulers on one log, and what they tell the outside, for tests of the handlers."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from modelyard_contracts.base import Event
from modelyard_contracts.envelope import Cause
from modelyard_contracts.messages import FileWant, Want
from modelyard_eventlog.log import AnyRecorded, Appended, Conflict, EventLog, Write
from modelyard_eventlog.memory import InMemoryEventLog
from modelyard_placement.demand import PathSaid
from modelyard_scheduler.domain.fleet import FleetPolicy, Presence
from modelyard_scheduler.domain.restart import RestartPolicy
from modelyard_scheduler.handlers.admission import Admission
from modelyard_scheduler.handlers.deciding import Decider
from modelyard_scheduler.handlers.fleet import FleetHandler
from modelyard_scheduler.handlers.instances import InstanceHandler
from modelyard_scheduler.handlers.model_files import ModelFileHandler
from modelyard_scheduler.handlers.placement import PlacementHandler
from modelyard_scheduler.handlers.restarts import RestartHandler
from modelyard_scheduler.handlers.wants import WantsHandler
from modelyard_scheduler.projections.feed import PictureFeed
from modelyard_scheduler.subscribers.reacting import Scheduler
from modelyard_scheduler_world import START

POLICY = FleetPolicy(silent_after_s=10, grace_s=60, max_lost_share=0.3)

_numbers = count()


@dataclass
class Outside:
    """Wants and alarms as they were given; every worker has every path, but those that lack it."""

    wants: dict[tuple[int, int], Want] = field(default_factory=dict)
    alarms: dict[str, datetime] = field(default_factory=dict)
    connected: bool = True
    lacking: set[int] = field(default_factory=set)
    """Workers that do not have the model."""

    async def put(self, want: Want) -> None:
        self.wants[want.worker_id, want.instance_id] = want

    async def forget(self, worker_id: int, instance_id: int) -> None:
        self.wants.pop((worker_id, instance_id), None)

    def placeable(self, instance_ids: Iterable[int]) -> list[int]:
        """Every model is known."""
        return list(instance_ids)

    async def put_file(self, want: FileWant) -> None:
        raise AssertionError("nobody asked for files")

    async def forget_file(self, worker_id: int, file_id: int) -> None:
        raise AssertionError("nobody asked for files")

    async def read_files(self) -> dict[tuple[int, int], FileWant]:
        return {}

    async def read_all(self) -> dict[tuple[int, int], Want]:
        return dict(self.wants)

    async def set(self, name: str, at: datetime) -> None:
        self.alarms[name] = at

    async def ask(self, path: str, worker_ids: Collection[int]) -> Mapping[int, PathSaid]:
        return {ident: "no such file" if ident in self.lacking else True for ident in worker_ids}


class OvertakenLog(InMemoryEventLog):
    """A log in which others may be faster: what is `first` happens just before the next append, what is
    `always` before every one."""

    def __init__(self) -> None:
        super().__init__()
        self.first: list[Event] = []
        self.always: Event | None = None
        self.conflicts = 0

    async def append(self, writes: Sequence[Write], cause: Cause) -> Appended:
        overtaking, self.first = self.first, []
        for event in [*overtaking, *([self.always] if self.always else [])]:
            await super().append([Write(event, None)], caused(cause.time))
        try:
            return await super().append(writes, cause)
        except Conflict:
            self.conflicts += 1
            raise


def caused(time: datetime) -> Cause:
    """The cause of something that others state."""
    ident = f"told-{next(_numbers)}"
    return Cause(ident, actor="user/1", source="test", time=time, correlation_id="story", causation_id="why")


class Clock:
    def __init__(self) -> None:
        self.moment = START

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class Cluster:
    log: EventLog
    outside: Outside = field(default_factory=Outside)
    clock: Clock = field(default_factory=Clock)

    @asynccontextmanager
    async def scheduler(self, fleet_policy: FleetPolicy = POLICY) -> AsyncIterator[Scheduler]:
        """A scheduler that starts now, knowing nothing but the log. It does what it is told to do."""
        decider = Decider(self.log, PictureFeed(self.log), self.clock)
        wants = WantsHandler(decider, self.outside)
        placement = PlacementHandler(decider, wants, self.outside, self.outside)
        following = asyncio.create_task(decider.feed.run())
        try:
            await decider.feed.catch_up()
            yield Scheduler(
                decider=decider,
                instances=InstanceHandler(decider, placement, wants),
                placement=placement,
                restarts=RestartHandler(decider, wants, self.outside, RestartPolicy(), jitter=lambda: 0.5),
                wants=wants,
                admission=Admission(decider, self.outside),
                fleet=FleetHandler(
                    decider,
                    Presence(self.clock()),
                    fleet_policy,
                    lambda: self.outside.connected,
                    lambda: True,
                ),
                files=ModelFileHandler(decider, self.outside),
            )
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def tell(self, *events: Event) -> None:
        """What others state."""
        for event in events:
            await self.log.append([Write(event, None)], caused(self.clock()))

    async def story(self) -> Sequence[AnyRecorded]:
        last = (await self.log.position()).last_seq
        found = [await self.log.get(seq) for seq in range(1, last + 1)]
        return [event for event in found if event is not None]

    async def facts(self, kind: type[Event]) -> list[Any]:
        return [event.data for event in await self.story() if isinstance(event.data, kind)]
