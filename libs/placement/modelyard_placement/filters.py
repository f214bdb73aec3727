"""Why a worker or a device is out of the question, however much room it has: the first check that fails."""

from modelyard_contracts.backends import CUSTOM_SUFFIX
from modelyard_contracts.deployments import Backend, LabelExpression, Reason, Source

from modelyard_placement.backends import KV_CACHE_DEVICES, QUANTIZATION_CAPABILITY, Capability, capability
from modelyard_placement.demand import Demand
from modelyard_placement.picture import READY, DeviceKind, DeviceView, WorkerView
from modelyard_placement.room import Room
from modelyard_placement.sizes import gib

CHECKS = (
    "state",
    "maintenance",
    "cluster",
    "gpu_selector",
    "labels",
    "backend",
    "local_path",
    "disk",
    "counts",
    "model",
    "device_type",
    "compute_capability",
    "extended_kv_cache",
    "vram",
    "devices",
    "group",
    "ram",
    "held",
)
"""In the order in which they are looked at."""


def worker_obstacle(demand: Demand, room: Room) -> Reason | None:
    return standing_obstacle(demand, room.worker) or file_obstacle(demand, room)


def standing_obstacle(demand: Demand, worker: WorkerView) -> Reason | None:
    """What demands that ask for the same workers share."""
    return (
        _not_usable(worker)
        or _wrong_cluster(demand, worker)
        or _not_selected(demand, worker)
        or _wrong_labels(demand, worker)
        or _no_backend(demand, worker)
    )


def file_obstacle(demand: Demand, room: Room) -> Reason | None:
    """What depends on the model's files."""
    return _no_path(demand, room.worker) or _no_disk(demand, room)


def device_obstacle(demand: Demand, worker: WorkerView, device: DeviceView) -> Reason | None:
    if demand.gpu_ids and gpu_id(worker, device) not in demand.gpu_ids:
        message = f"{device.key} of {worker.name} is not among the selected GPUs"
        return Reason(worker=worker.name, device=device.key, check="gpu_selector", message=message)
    found = kind_obstacle(demand, device.kind)
    if found is None:
        return None
    check, needed, available, what = found
    return Reason(
        worker=worker.name,
        device=device.key,
        check=check,
        needed=needed,
        available=available,
        message=f"{device.key} of {worker.name} {what}",
    )


def gpu_id(worker: WorkerView, device: DeviceView) -> str:
    return f"{worker.name}:{device.key}"


def kind_obstacle(demand: Demand, kind: DeviceKind) -> tuple[str, str, str, str] | None:
    """Check, needed, available, and what to say of a device of that kind."""
    types = demand.rules.device_types
    if demand.moved:
        types = frozenset(device.partition(":")[0] for part in demand.moved for device in part.vram_bytes)
    if types is not None and kind.type not in types:
        wanted = ", ".join(sorted(types))
        return "device_type", wanted, kind.type, f"is of type {kind.type}, {demand.backend} runs on {wanted}"
    least, has = _least_capability(demand, kind.type), capability(kind.compute_capability)
    if least is not None and has is not None and has < least:
        asked, there = f"{least[0]}.{least[1]}", kind.compute_capability or ""
        what = f"has compute capability {there}, this model needs at least {asked} on {demand.backend}"
        return "compute_capability", asked, there, what
    extended = demand.spec.extended_kv_cache
    if (
        extended
        and extended.enabled
        and not (demand.rules.extends_kv_cache and kind.type in KV_CACHE_DEVICES)
    ):
        what = "cannot have its KV cache extended: that takes vLLM or SGLang on CUDA or ROCm"
        return "extended_kv_cache", ", ".join(sorted(KV_CACHE_DEVICES)), kind.type, what
    return None


def _least_capability(demand: Demand, device_type: str) -> Capability | None:
    least = demand.rules.least_capability.get(device_type)
    quantization = demand.model.quantization if demand.model else None
    if least is None or device_type != "cuda":
        return least
    return max(least, QUANTIZATION_CAPABILITY.get((quantization or "").lower(), least))


def _not_usable(worker: WorkerView) -> Reason | None:
    if worker.state != READY:
        message = f"{worker.name} is {worker.state}, not ready"
        return Reason(
            worker=worker.name, check="state", needed=READY, available=worker.state, message=message
        )
    if worker.maintenance:
        return Reason(worker=worker.name, check="maintenance", message=f"{worker.name} is in maintenance")
    return None


def _wrong_cluster(demand: Demand, worker: WorkerView) -> Reason | None:
    """A demand without a cluster may go to any."""
    if demand.cluster_id is None or worker.cluster_id == demand.cluster_id:
        return None
    return Reason(
        worker=worker.name,
        check="cluster",
        needed=str(demand.cluster_id),
        available=str(worker.cluster_id),
        message=f"{worker.name} is in cluster {worker.cluster_id}, not {demand.cluster_id}",
    )


def _not_selected(demand: Demand, worker: WorkerView) -> Reason | None:
    if not demand.gpu_ids or any(gpu_id(worker, device) in demand.gpu_ids for device in worker.devices):
        return None
    return Reason(
        worker=worker.name,
        check="gpu_selector",
        needed=", ".join(demand.gpu_ids),
        available="none of them",
        message=f"{worker.name} has none of the selected GPUs",
    )


def _wrong_labels(demand: Demand, worker: WorkerView) -> Reason | None:
    for key, value in sorted(demand.spec.worker_selector.items()):
        if worker.labels.get(key) != value:
            return _label_reason(worker, key, f"{key}={value}")
    for expression in demand.spec.worker_selector_expressions:
        if not label_fits(expression, worker.labels.get(expression.key)):
            return _label_reason(worker, expression.key, in_words(expression))
    return None


def label_fits(expression: LabelExpression, value: str | None) -> bool:
    """`value` None: the worker has no such label, which `NotIn` accepts."""
    match expression.operator:
        case "In":
            return value in expression.values
        case "NotIn":
            return value not in expression.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def in_words(expression: LabelExpression) -> str:
    values = f" ({', '.join(expression.values)})" if expression.values else ""
    return f"{expression.key} {expression.operator}{values}"


def _label_reason(worker: WorkerView, key: str, asked: str) -> Reason:
    has = f"{key}={worker.labels[key]}" if key in worker.labels else f"no label {key}"
    message = f"{worker.name} has {has}, the worker selector asks for {asked}"
    return Reason(worker=worker.name, check="labels", needed=asked, available=has, message=message)


def _no_backend(demand: Demand, worker: WorkerView) -> Reason | None:
    if worker.backends is None or demand.backend in worker.backends or _is_own(demand.backend):
        return None
    return Reason(
        worker=worker.name,
        check="backend",
        needed=demand.backend,
        available=", ".join(sorted(worker.backends)) or "none",
        message=f"{worker.name} does not have the backend {demand.backend}",
    )


def _is_own(backend: str) -> bool:
    """An operator's: its command says what it needs, and workers do not know."""
    return backend == Backend.CUSTOM or backend.endswith(CUSTOM_SUFFIX)


def _no_path(demand: Demand, worker: WorkerView) -> Reason | None:
    if demand.spec.source is not Source.LOCAL_PATH or demand.paths is None:
        return None
    said = demand.paths.get(worker.ident, "it was not asked")
    if said is True:
        return None
    path = demand.spec.local_path
    message = f"{worker.name} does not have {path}{f': {said}' if said else ''}"
    return Reason(worker=worker.name, check="local_path", needed=path, message=message)


def _no_disk(demand: Demand, room: Room) -> Reason | None:
    """Files that are there already, or come for another instance, need no more room."""
    worker, free, needed = room.worker, room.disk_free(), demand.download_bytes()
    if free is None or needed <= free:
        return None
    if demand.location in worker.files | worker.arriving | room.coming.keys():
        return None
    has = f"{worker.name} has {gib(max(free, 0))} of disk free"
    if room.coming:
        has += f" beside {gib(sum(room.coming.values()))} for models of instances that are placed there"
    return Reason(
        worker=worker.name,
        check="disk",
        needed=needed,
        available=max(free, 0),
        message=f"{has}, the files of the model take {gib(needed)}",
    )
