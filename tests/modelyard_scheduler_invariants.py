"""What must hold of a log, whatever befell those who wrote it: checked event by event."""

from collections import defaultdict
from dataclasses import dataclass, field

from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    InstanceRemoved,
    InstanceRestartScheduled,
    InstanceScheduled,
    InstanceStopping,
    WorkerDevicesReserved,
)
from modelyard_contracts.parameters import value_of
from modelyard_eventlog.log import AnyRecorded
from modelyard_scheduler.domain.instance import LEAVING, Phase, homes
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.worker import WorkerPhase


@dataclass
class Invariants:
    picture: Picture = field(default_factory=Picture)
    placed: set[int] = field(default_factory=set)
    attempts: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def check(self, event: AnyRecorded) -> None:
        """Before the event becomes part of the picture, and after it."""
        match event.data:
            case InstanceScheduled():
                self._placed_once(event.data)
            case InstanceRestartScheduled():
                self._restarts_are_counted(event.data)
            case InstanceStopping() | InstanceRemoved():
                self._leaves_for_a_reason(event)
            case _:
                pass
        self.picture.apply(event)
        if isinstance(event.data, WorkerDevicesReserved):
            self._no_worker_is_overcommitted(event.data.worker_id)

    def _placed_once(self, fact: InstanceScheduled) -> None:
        assert fact.instance_id not in self.placed, f"{fact.instance_id} is placed twice"
        self.placed.add(fact.instance_id)
        for ident in (fact.worker_id, *(part.worker_id for part in fact.subordinates)):
            worker = self.picture.workers[ident]
            assert fact.instance_id in worker.reservations, "placed without its room"
            assert worker.phase is WorkerPhase.READY
            assert not worker.maintenance
        self._group_is_whole(fact)

    def _group_is_whole(self, fact: InstanceScheduled) -> None:
        """All or nothing: as many GPUs as its parameters say, on workers that each have one part."""
        parts = (fact.claim, *(part.claim for part in fact.subordinates))
        spec = self.picture.instances[fact.instance_id].spec
        wanted = value_of(spec.backend_parameters, "--tensor-parallel-size")
        if wanted is not None:
            assert sum(len(claim.vram_bytes) for claim in parts) == int(wanted)
            assert len({fact.worker_id, *(part.worker_id for part in fact.subordinates)}) == len(parts)

    def _restarts_are_counted(self, fact: InstanceRestartScheduled) -> None:
        self.attempts[fact.instance_id] += 1
        assert fact.attempt == self.attempts[fact.instance_id]

    def _leaves_for_a_reason(self, event: Recorded[InstanceStopping | InstanceRemoved]) -> None:
        fact = event.data
        state = self.picture.instances[fact.instance_id]
        if state.phase in LEAVING:
            return
        deployment = self.picture.deployments.get(fact.deployment_id)
        match fact.reason:
            case "worker_lost":
                phases = [self.picture.workers[ident].phase for ident in homes(state)]
                assert WorkerPhase.LOST in phases
            case "scale_down":
                alive = [
                    other
                    for other in self.picture.instances_of(fact.deployment_id)
                    if other.phase not in LEAVING and not other.deletion_requested
                ]
                assert deployment is not None
                assert len(alive) > deployment.replicas, "a replica that is wanted is stopped"
            case "deployment_deleted":
                assert deployment is None or deployment.deleted
            case "deletion_requested":
                assert state.deletion_requested
            case _:
                pass

    def _no_worker_is_overcommitted(self, worker_id: int) -> None:
        worker = self.picture.workers[worker_id]
        room = self.picture.rooms.room(worker_id)
        assert room is not None
        assert room.ram_free >= 0, f"{worker.name} is over-committed"
        assert all(free >= 0 for free in room.free.values()), f"a device of {worker.name} is over-committed"

    def unfulfilled(self) -> list[str]:
        """Deployments that do not have as many running instances as are wished for, and room that is taken
        by nobody."""
        found = [
            f"{worker.name} keeps room for {ident}"
            for worker in self.picture.workers.values()
            for ident in worker.reservations
            if ident not in {state.instance_id for state in self.picture.instances_on(worker.worker_id)}
        ]
        for deployment in self.picture.deployments.values():
            wanted = 0 if deployment.deleted else deployment.replicas
            states = self.picture.instances_of(deployment.deployment_id)
            running = [state for state in states if state.phase is Phase.RUNNING]
            if len(running) != wanted or len(states) != wanted:
                phases = ", ".join(f"{state.instance_id} {state.phase}" for state in states)
                found.append(f"deployment {deployment.deployment_id} wants {wanted} and has {phases}")
        return found
