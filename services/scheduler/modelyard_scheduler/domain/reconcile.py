"""What and how many: the instances a deployment lacks, and those that must go. Where is placement's."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from modelyard_scheduler.domain.deployment import DeploymentState
from modelyard_scheduler.domain.instance import LEAVING, UNPLACED, InstanceState, Phase

StopReason = Literal["scale_down", "deployment_deleted", "deletion_requested"]


@dataclass(frozen=True, slots=True)
class Stop:
    instance_id: int
    reason: StopReason


@dataclass(frozen=True, slots=True)
class ReplicasPlan:
    request: int = 0
    """How many new instances to ask for."""
    stop: tuple[Stop, ...] = ()


def replicas_plan(
    deployment: DeploymentState | None,
    instances: Collection[InstanceState],
    silent_workers: AbstractSet[int] = frozenset(),
) -> ReplicasPlan:
    """`instances` are all of this deployment; of a deleted one (or none) every instance must go.

    An instance whose deletion was asked for goes, and does not count: its replacement is requested along.
    """
    alive = [state for state in instances if state.phase not in LEAVING]
    if deployment is None or deployment.deleted:
        return ReplicasPlan(stop=tuple(Stop(state.instance_id, "deployment_deleted") for state in alive))
    asked = [state for state in alive if state.deletion_requested]
    kept = [state for state in alive if not state.deletion_requested]
    stops = [Stop(state.instance_id, "deletion_requested") for state in asked]
    surplus = len(kept) - deployment.replicas
    if surplus > 0:
        stops += [Stop(s.instance_id, "scale_down") for s in worst_first(kept, silent_workers)[:surplus]]
    return ReplicasPlan(request=max(0, -surplus), stop=tuple(stops))


def worst_first(
    instances: Collection[InstanceState], silent_workers: AbstractSet[int]
) -> Sequence[InstanceState]:
    """Not placed, failed, on a silent worker, on its way to running, running; the youngest of each first."""
    return sorted(instances, key=lambda state: (_worth(state, silent_workers), -state.instance_id))


def _worth(state: InstanceState, silent_workers: AbstractSet[int]) -> int:
    if state.phase in UNPLACED:
        return 0
    if state.phase in (Phase.FAILED, Phase.BACKING_OFF):
        return 1
    if state.worker_id in silent_workers:
        return 2
    return 4 if state.phase is Phase.RUNNING else 3
