"""What the scheduler does about each fact: the reaction map, readable on one screen."""

import asyncio
from dataclasses import dataclass, field

from modelyard_contracts.base import Event
from modelyard_contracts.events import (
    DeploymentEvent,
    InstanceDeletionRequested,
    InstanceEvent,
    InstanceFailed,
    InstanceRemoved,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceScheduled,
    InstanceStopped,
    InstanceStopping,
    WorkerDeleted,
    WorkerDevicesReleased,
    WorkerEvent,
    WorkerInventoryChanged,
    WorkerLabelsChanged,
    WorkerLost,
    WorkerMaintenanceChanged,
    WorkerReady,
    WorkerRecovered,
)
from modelyard_contracts.messages import Heartbeat, Observation
from modelyard_eventlog.log import AnyRecorded
from modelyard_eventlog.reactions import Reactions

from modelyard_scheduler.domain.instance import Phase
from modelyard_scheduler.domain.worker import WorkerPhase
from modelyard_scheduler.handlers.admission import Admission
from modelyard_scheduler.handlers.deciding import Decider
from modelyard_scheduler.handlers.fleet import FleetHandler
from modelyard_scheduler.handlers.instances import InstanceHandler
from modelyard_scheduler.handlers.placement import PlacementHandler
from modelyard_scheduler.handlers.restarts import RestartHandler
from modelyard_scheduler.handlers.wants import WantsHandler


@dataclass(frozen=True, slots=True)
class Scheduler:
    """One thing at a time: the log would settle two decisions that meet, but not for free."""

    decider: Decider
    instances: InstanceHandler
    placement: PlacementHandler
    restarts: RestartHandler
    wants: WantsHandler
    admission: Admission
    fleet: FleetHandler
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    def subscribe(self, reactions: Reactions) -> None:
        reactions.on_events(self.on_event)
        reactions.on_observations(self.on_observation)
        reactions.on_timers(self.on_timer)
        reactions.on_heartbeats(self.on_heartbeat)

    async def on_event(self, event: AnyRecorded) -> None:
        await self.decider.feed.wait_for(event.seq)
        async with self.busy:
            await self.react(event.data)

    async def react(self, event: Event) -> None:
        match event:
            case DeploymentEvent(deployment_id=ident):
                await self.instances.reconcile(ident)
            case InstanceEvent():
                await self.react_to_instance(event)
            case WorkerEvent():
                await self.react_to_worker(event)
            case _:
                return

    async def react_to_instance(self, event: InstanceEvent) -> None:
        match event:
            case InstanceRequested(instance_id=ident):
                await self.placement.place(ident)
            case InstanceScheduled(instance_id=ident) | InstanceStopping(instance_id=ident):
                await self.wants.tell(ident)
            case InstanceFailed(instance_id=ident):
                await self.restarts.restart(ident)
            case InstanceRestartScheduled(instance_id=ident):
                await self.restarts.wake(ident)
            case InstanceStopped(instance_id=ident):
                await self.instances.remove_stopped(ident)
            case InstanceDeletionRequested(deployment_id=ident) | InstanceRemoved(deployment_id=ident):
                await self.instances.reconcile(ident)
            case _:
                return

    async def react_to_worker(self, event: WorkerEvent) -> None:
        match event:
            case WorkerLost(worker_id=ident) | WorkerDeleted(worker_id=ident):
                await self.instances.give_up(ident)
            case (
                WorkerReady()
                | WorkerRecovered()
                | WorkerInventoryChanged()
                | WorkerLabelsChanged()
                | WorkerMaintenanceChanged()
                | WorkerDevicesReleased()
            ):
                await self.placement.place_waiting()
            case _:
                return

    async def on_observation(self, observation: Observation) -> None:
        async with self.busy:
            await self.admission.admit(observation)

    async def on_timer(self, name: str) -> None:
        kind, *numbers = name.split(".")
        if kind != "restart" or len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
            return
        async with self.busy:
            await self.restarts.start_again(int(numbers[0]), attempt=int(numbers[1]))

    async def on_heartbeat(self, worker_id: int, heartbeat: Heartbeat | None) -> None:
        if heartbeat is not None and heartbeat.worker_id == worker_id:
            await self.fleet.heard(heartbeat)

    async def look(self) -> None:
        """Every second: who is there. It waits for nothing else: a frozen worker, for whose answer placement
        waits, has to fall silent all the same."""
        await self.fleet.look()

    async def sweep(self) -> None:
        """Now and then: closes every gap that a lost message or a crash may have left. What happens meanwhile
        is reacted to in between."""
        picture = self.decider.picture
        for worker in list(picture.workers.values()):
            if worker.phase in (WorkerPhase.LOST, WorkerPhase.DELETED):
                async with self.busy:
                    await self.instances.give_up(worker.worker_id)
        for state in list(picture.instances.values()):
            if state.phase in (Phase.FAILED, Phase.STOPPED):
                async with self.busy:
                    await self.restarts.restart(state.instance_id)
                    await self.instances.remove_stopped(state.instance_id)
        wished_or_there = {state.deployment_id for state in picture.instances.values()}
        for ident in sorted(wished_or_there.union(picture.deployments)):
            async with self.busy:
                await self.instances.reconcile(ident)
        async with self.busy:
            await self.placement.place_waiting()
        await self.wants.tell_all()
