"""Brings what happens to the handlers: facts of the log, observations, timers, heartbeats, the clock."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from modelyard_contracts.base import Event
from modelyard_contracts.messages import Heartbeat, Observation

from modelyard_scheduler.domain.instance import Phase
from modelyard_scheduler.domain.worker import WorkerPhase
from modelyard_scheduler.handlers.admission import Admission
from modelyard_scheduler.handlers.deciding import Decider
from modelyard_scheduler.handlers.fleet import FleetHandler
from modelyard_scheduler.handlers.instances import InstanceHandler
from modelyard_scheduler.handlers.model_files import ModelFileHandler
from modelyard_scheduler.handlers.placement import PlacementHandler
from modelyard_scheduler.handlers.restarts import RestartHandler
from modelyard_scheduler.handlers.wants import WantsHandler
from modelyard_scheduler.subscribers.due import due


@dataclass(frozen=True, slots=True)
class Scheduler:
    """Its decisions one at a time: the log would settle two that meet, but not for free. What agents state
    is admitted beside them, each worker's facts in their order."""

    decider: Decider
    instances: InstanceHandler
    placement: PlacementHandler
    restarts: RestartHandler
    wants: WantsHandler
    admission: Admission
    fleet: FleetHandler
    files: ModelFileHandler
    failed_grace_s: float = 300.0
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def react(self, events: Iterable[Event]) -> None:
        todo = due(events)
        await self.files.tell(sorted(todo.files))
        await self.wants.tell_groups(sorted(todo.tell))
        async with self.busy:
            for worker_id in sorted(todo.give_up):
                await self.instances.give_up(worker_id)
            await self.instances.remove_stopped(todo.remove)
            await asyncio.gather(*(self.restarts.restart(ident) for ident in sorted(todo.restart)))
            await asyncio.gather(*(self.restarts.wake(ident) for ident in sorted(todo.wake)))
            for deployment_id in sorted(todo.reconcile | self._deployments_on(todo.empty)):
                await self.instances.reconcile(deployment_id)
            if todo.place_waiting:
                await self.placement.place_waiting()
            else:
                await self.placement.place_new(sorted(todo.place))

    def _deployments_on(self, worker_ids: Iterable[int]) -> set[int]:
        on = self.decider.picture.instances_on
        return {state.deployment_id for worker_id in worker_ids for state in on(worker_id)}

    async def place_waiting(self) -> None:
        async with self.busy:
            await self.placement.place_waiting()

    async def observe(self, observations: Sequence[Observation]) -> None:
        by_worker: dict[int, list[Observation]] = defaultdict(list)
        for observation in observations:
            by_worker[observation.worker_id].append(observation)
        await asyncio.gather(*(self._observe_in_order(said) for said in by_worker.values()))

    async def _observe_in_order(self, observations: Sequence[Observation]) -> None:
        for observation in observations:
            await self.admission.admit(observation)

    async def on_timer(self, name: str) -> None:
        kind, *numbers = name.split(".")
        if kind != "restart" or len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
            return
        await self.restarts.start_again(int(numbers[0]), attempt=int(numbers[1]))

    async def on_heartbeat(self, heartbeat: Heartbeat) -> None:
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
        ended = [s for s in picture.instances.values() if s.phase in (Phase.FAILED, Phase.STOPPED)]
        async with self.busy:
            for state in ended:
                await self.restarts.restart(state.instance_id)
            await self.instances.remove_stopped([state.instance_id for state in ended])
            await self.instances.give_back_claims(self.failed_grace_s)
        wished_or_there = {state.deployment_id for state in picture.instances.values()}
        for ident in sorted(wished_or_there.union(picture.deployments)):
            async with self.busy:
                await self.instances.reconcile(ident)
        await self.place_waiting()
        await self.wants.tell_all()
        await self.files.tell_all()
