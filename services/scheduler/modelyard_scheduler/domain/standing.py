"""How the instances of a deployment are placed, read off the picture."""

from modelyard_contracts.parameters import BadParameters
from modelyard_placement.filters import worker_obstacle

from modelyard_scheduler.domain.deployment import DeploymentState
from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.reconcile import Standing
from modelyard_scheduler.domain.worker import WorkerPhase, WorkerState


def standings(picture: Picture, deployment_id: int) -> dict[int, Standing]:
    """By instance; those that are not placed are left out."""
    deployment = picture.deployments.get(deployment_id)
    found: dict[int, Standing] = {}
    for state in picture.instances_of(deployment_id):
        worker = picture.workers.get(state.worker_id) if state.worker_id is not None else None
        if worker is not None:
            found[state.instance_id] = _standing(picture, deployment, state, worker)
    return found


def draining(picture: Picture, deployment_id: int) -> set[int]:
    """The workers of its instances that are to be emptied."""
    homes = {state.worker_id for state in picture.instances_of(deployment_id)}
    workers = [picture.workers.get(ident) for ident in homes if ident is not None]
    return {w.worker_id for w in workers if w is not None and w.maintenance and w.drain}


def _standing(
    picture: Picture, deployment: DeploymentState | None, state: InstanceState, worker: WorkerState
) -> Standing:
    claim = worker.reservations.get(state.instance_id)
    room = picture.rooms.room(worker.worker_id)
    layers = claim.total_layers if claim else None
    on_devices = claim.offload_layers if claim else None
    return Standing(
        silent=worker.phase is WorkerPhase.SILENT,
        off_policy=_is_off_policy(picture, deployment, state, worker),
        device_share=on_devices / layers if layers and on_devices is not None else 1.0,
        crowd=room.same(state.deployment_id) if room else 0,
    )


def _is_off_policy(
    picture: Picture, deployment: DeploymentState | None, state: InstanceState, worker: WorkerState
) -> bool:
    """Its deployment has changed since, or its worker would not be taken today."""
    if deployment is None:
        return False
    if worker.maintenance or (state.spec is not deployment.spec and state.spec != deployment.spec):
        return True
    room = picture.rooms.room(worker.worker_id)
    try:
        demand = picture.demand(state._replace(spec=deployment.spec), None)
    except BadParameters:
        return False
    return room is None or worker_obstacle(demand, room) is not None
