"""What and how many: the instances a deployment lacks, and those that must go. Where is placement's."""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from modelyard_contracts.deployments import PlacementStrategy
from modelyard_contracts.events import StopReason

from modelyard_scheduler.domain.deployment import DeploymentState
from modelyard_scheduler.domain.instance import LEAVING, UNPLACED, InstanceState, Phase


@dataclass(frozen=True, slots=True)
class Stop:
    instance_id: int
    reason: StopReason


@dataclass(frozen=True, slots=True)
class ReplicasPlan:
    request: int = 0
    """How many new instances to ask for."""
    stop: tuple[Stop, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """How an instance is placed, as far as it matters to who goes first."""

    silent: bool = False
    """Nobody hears of its worker."""
    off_policy: bool = False
    """It would not be placed there today."""
    device_share: float = 1.0
    """Of its layers, those on devices."""
    crowd: int = 0
    """Instances of its deployment on its worker, itself included."""


WELL = Standing()
Standings = Callable[[], Mapping[int, Standing]]
"""By instance; asked for only where some have to go."""


def replicas_plan(
    deployment: DeploymentState | None,
    instances: Collection[InstanceState],
    standings: Standings,
    draining: AbstractSet[int] = frozenset(),
) -> ReplicasPlan:
    """`instances` are all of this deployment; of a deleted one (or none) every instance must go. `draining`:
    workers that are to be emptied.

    An instance whose deletion was asked for goes, and does not count: its replacement is requested along.
    So does one that waits to be placed, or was given up, as its deployment was before it changed.
    """
    alive = [state for state in instances if state.phase not in LEAVING]
    if deployment is None or deployment.deleted:
        return ReplicasPlan(stop=tuple(Stop(state.instance_id, "deployment_deleted") for state in alive))
    stops = [Stop(state.instance_id, "deletion_requested") for state in alive if state.deletion_requested]
    kept = [state for state in alive if not state.deletion_requested]
    stops += [Stop(state.instance_id, "outdated") for state in kept if _is_outdated(state, deployment)]
    kept = [state for state in kept if not _is_outdated(state, deployment)]
    moving = [state for state in kept if state.worker_id in draining]
    if moving:
        return _drained(deployment, kept, moving, standings, stops)
    surplus = len(kept) - deployment.replicas
    if surplus > 0:
        going = worst_first(kept, standings(), deployment.spec.placement_strategy)[:surplus]
        stops += [Stop(state.instance_id, "scale_down") for state in going]
    return ReplicasPlan(request=max(0, -surplus), stop=tuple(stops))


def _drained(
    deployment: DeploymentState,
    kept: Sequence[InstanceState],
    moving: Sequence[InstanceState],
    standings: Standings,
    stops: Sequence[Stop],
) -> ReplicasPlan:
    """One replacement at a time; what is moved is stopped once its replacement runs."""
    staying = [state for state in kept if state not in moving]
    all_run = all(state.phase is Phase.RUNNING for state in staying)
    surplus = len(kept) - deployment.replicas
    if surplus <= 0:
        return ReplicasPlan(request=-surplus or int(all_run), stop=tuple(stops))
    strategy = deployment.spec.placement_strategy
    how = standings()
    going = [*worst_first(moving, how, strategy), *worst_first(staying, how, strategy)]
    going = going[: surplus if all_run else surplus - 1]
    moved = {state.instance_id for state in moving}
    return ReplicasPlan(
        stop=(
            *stops,
            *(Stop(s.instance_id, "drained" if s.instance_id in moved else "scale_down") for s in going),
        )
    )


def _is_outdated(state: InstanceState, deployment: DeploymentState) -> bool:
    idle = state.phase in UNPLACED or state.given_up
    return idle and state.spec is not deployment.spec and state.spec != deployment.spec


def worst_first(
    instances: Collection[InstanceState], standings: Mapping[int, Standing], strategy: PlacementStrategy
) -> Sequence[InstanceState]:
    """Not placed, failed, unhealthy (on a silent worker, then on its way to running), off-policy, most
    offloaded, worst placed, youngest."""

    def rank(state: InstanceState) -> tuple[int, bool, float, int, int]:
        standing = _standing(state, standings)
        # spread wants them apart, binpack together
        crowd = -standing.crowd if strategy is PlacementStrategy.SPREAD else standing.crowd
        worth = _worth(state, standing)
        return worth, not standing.off_policy, standing.device_share, crowd, -state.instance_id

    return sorted(instances, key=rank)


def _worth(state: InstanceState, standing: Standing) -> int:
    if state.phase in UNPLACED:
        return 0
    if state.phase in (Phase.FAILED, Phase.BACKING_OFF):
        return 1
    if standing.silent:
        return 2
    return 4 if state.phase is Phase.RUNNING else 3


def _standing(state: InstanceState, standings: Mapping[int, Standing]) -> Standing:
    return standings.get(state.instance_id, WELL)
