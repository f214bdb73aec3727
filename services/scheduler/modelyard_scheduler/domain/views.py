"""Workers and waiting instances in the words of placement."""

from modelyard_contracts.models import ModelFacts
from modelyard_models.beside import Beside
from modelyard_placement.demand import Demand, demand_of
from modelyard_placement.picture import DeviceView, WorkerView

from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.worker import WorkerState


def worker_view(worker: WorkerState, files: frozenset[str], arriving: frozenset[str]) -> WorkerView:
    inventory = worker.inventory
    return WorkerView(
        ident=worker.worker_id,
        name=worker.name,
        cluster_id=worker.cluster_id,
        labels=worker.labels,
        state=worker.phase.value,
        maintenance=worker.maintenance,
        ram_total_bytes=inventory.memory_total_bytes if inventory else 0,
        ram_reserved_bytes=inventory.reserved_ram_bytes if inventory else 0,
        is_unified_memory=inventory.is_unified_memory if inventory else False,
        devices=_devices(worker),
        backends=inventory.backends if inventory else {},
        files=files,
        disk_free_bytes=worker.disk_room_bytes,
        arriving=arriving,
    )


def _devices(worker: WorkerState) -> tuple[DeviceView, ...]:
    """Nothing runs on a device that is cut into parts."""
    return tuple(
        DeviceView(
            type=device.type,
            index=device.index,
            total_bytes=device.memory_total_bytes,
            name=device.name,
            vendor=device.vendor,
            compute_capability=device.compute_capability,
            foreign_bytes=worker.foreign.get(device.key, 0),
        )
        for device in (worker.inventory.gpu_devices if worker.inventory else ())
        if not device.parts
    )


def demand(state: InstanceState, model: ModelFacts | None, beside: Beside, replicas: int) -> Demand:
    """Raises `BadParameters`."""
    return demand_of(
        state.deployment_name,
        state.spec,
        deployment=state.deployment_id,
        cluster_id=state.cluster_id,
        model=model,
        draft=beside.draft,
        adapters=beside.adapters,
        replicas=replicas,
    )
