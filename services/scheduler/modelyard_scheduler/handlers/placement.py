"""Places instances on workers, or says why it cannot be done."""

from collections import Counter
from dataclasses import dataclass

from modelyard_contracts import events
from modelyard_contracts.deployments import Source
from modelyard_contracts.events import InstanceScheduled, InstanceUnschedulable, WorkerDevicesReserved
from modelyard_eventlog.log import Write

from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase
from modelyard_scheduler.domain.placement import (
    Crowd,
    PathSaid,
    Placement,
    Unplaceable,
    candidates,
    place,
    policy_name,
)
from modelyard_scheduler.domain.worker import WorkerPhase
from modelyard_scheduler.handlers.deciding import Decider, Decision
from modelyard_scheduler.handlers.wants import WantsHandler
from modelyard_scheduler.ports import Paths


@dataclass(frozen=True, slots=True)
class PlacementHandler:
    decider: Decider
    wants: WantsHandler
    paths: Paths

    async def place_waiting(self) -> None:
        """Tries everything that waits for room, the oldest first."""
        for state in self.decider.picture.unplaced():
            await self.place(state.instance_id)

    async def place(self, instance_id: int) -> None:
        state = self.decider.picture.instances.get(instance_id)
        if state is None or state.phase not in UNPLACED:
            return
        said = await self._ask_for_path(state)
        if await self.decider.state(lambda: self._placed(instance_id, said)):
            await self.wants.tell(instance_id)

    async def _ask_for_path(self, state: InstanceState) -> dict[int, PathSaid]:
        if state.spec.source is not Source.LOCAL_PATH:
            return {}
        asked = candidates(state, self.decider.picture.workers.values())
        return dict(await self.paths.ask(state.spec.local_path or "", [w.worker_id for w in asked]))

    def _placed(self, instance_id: int, said: dict[int, PathSaid]) -> Decision | None:
        picture = self.decider.picture
        state = picture.instances.get(instance_id)
        if state is None or state.phase not in UNPLACED or state.deletion_requested:
            return None
        workers = [w for w in picture.workers.values() if w.phase is not WorkerPhase.DELETED]
        same = Counter(other.worker_id for other in picture.instances_of(state.deployment_id))
        crowds = {w.worker_id: Crowd(same[w.worker_id], picture.count_on(w.worker_id)) for w in workers}
        found = place(state, workers, said, crowds)
        decision = events.Decision(
            policy=policy_name(state.spec),
            decided_at_seq=picture.position,
            candidates=found.candidates if isinstance(found, Placement) else 0,
        )
        writes = (
            _scheduled(state, found, decision)
            if isinstance(found, Placement)
            else _unschedulable(state, found, decision)
        )
        return self.decider.about(state, "place", writes) if writes else None


def _scheduled(state: InstanceState, found: Placement, decision: events.Decision) -> list[Write]:
    """One batch: two schedulers cannot both take the same room."""
    return [
        Write(
            WorkerDevicesReserved(
                worker_id=found.worker.worker_id, instance_id=state.instance_id, claim=found.claim
            ),
            found.worker.seq,
        ),
        Write(
            InstanceScheduled(
                instance_id=state.instance_id,
                deployment_id=state.deployment_id,
                worker_id=found.worker.worker_id,
                worker_name=found.worker.name,
                claim=found.claim,
                decision=decision,
            ),
            state.seq,
        ),
    ]


def _unschedulable(state: InstanceState, found: Unplaceable, decision: events.Decision) -> list[Write]:
    """Nothing, if the reasons are those that were stated last."""
    if state.phase is Phase.UNSCHEDULABLE and state.reasons == found.stated():
        return []
    unschedulable = InstanceUnschedulable(
        instance_id=state.instance_id,
        deployment_id=state.deployment_id,
        message=found.message(),
        reasons=found.stated(),
        decision=decision,
    )
    return [Write(unschedulable, state.seq)]
