"""A cluster as `GET /v2/workers`, `/v2/model-instances` and `/v2/model-files` show it, as a picture."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated

from modelyard_contracts.complaints import about
from modelyard_contracts.deployments import Claim
from pydantic import BeforeValidator, ValidationError

from modelyard_placement.picture import READY, DeviceView, Holding, Picture, WorkerView
from modelyard_placement.shown import (
    RUNNING,
    Device,
    Disk,
    Held,
    Instance,
    ModelFile,
    Part,
    Shown,
    Worker,
    nothing,
)

HOLDS_NOTHING = frozenset({"pending", "analyzing", "unschedulable", "error"})
"""States of an instance that is nowhere, or whose claim is given back."""


class BadInput(ValueError):
    """The message names the field."""


class Cluster(Shown):
    """The file of `modelyard simulate --cluster`."""

    workers: tuple[Worker, ...]
    instances: Annotated[tuple[Instance, ...], BeforeValidator(nothing)] = ()
    model_files: tuple[ModelFile, ...] | None = None

    def picture(self) -> Picture:
        """Raises `BadInput` where an instance or file is on a worker that is not there."""
        workers = _numbered(self.workers)
        holdings = [
            one for at, instance in enumerate(self.instances) for one in _holdings(instance, at, workers)
        ]
        running = {at for at, instance in enumerate(self.instances) if instance.state == RUNNING}
        ours = _used_by_us(holding for holding in holdings if holding.instance in running)
        files = _files(self.model_files or (), workers)
        views = [
            _view(ident, worker, ours.get(ident, {}), frozenset(files.get(ident, ())))
            for ident, worker in workers.items()
        ]
        return Picture(tuple(views), tuple(holdings))


def read_cluster(data: object) -> Cluster:
    """Raises `BadInput`."""
    try:
        return Cluster.model_validate(data)
    except ValidationError as error:
        raise BadInput(in_words(error)) from error


def in_words(error: ValidationError) -> str:
    """Field by field, as in `workers.0.status.memory.total: must be ...`."""
    errors = error.errors(include_url=False)
    return "\n".join(about(".".join(map(str, one["loc"])), one) for one in errors)


def _numbered(workers: Iterable[Worker]) -> dict[int, Worker]:
    """By id; where ids are missing, by the order of names, so that the file's order never matters."""
    ordered = sorted(map(_without_twins, workers), key=lambda worker: worker.name)
    for before, after in pairwise(ordered):
        if before.name == after.name:
            raise BadInput(f"workers: two of them are called {after.name!r}")
    idents = [worker.id for worker in ordered]
    if None not in idents and len(set(idents)) == len(idents):
        return {worker.id: worker for worker in ordered if worker.id is not None}
    return dict(enumerate(ordered, start=1))


def _without_twins(worker: Worker) -> Worker:
    keys = sorted(f"{device.type}:{device.index}" for device in worker.status.gpu_devices)
    for before, after in pairwise(keys):
        if before == after:
            raise BadInput(f"workers: {worker.name!r} has two of status.gpu_devices that are {after}")
    return worker


def _view(ident: int, worker: Worker, ours: Mapping[str, int], files: frozenset[str]) -> WorkerView:
    memory, reserved = worker.status.memory, worker.system_reserved
    in_maintenance = worker.state == "maintenance" or bool(worker.maintenance and worker.maintenance.enabled)
    devices = [device for device in worker.status.gpu_devices if not device.parts]
    return WorkerView(
        ident=ident,
        name=worker.name,
        cluster_id=worker.cluster_id,
        labels=worker.labels,
        state=READY if worker.state in (None, "maintenance") else worker.state or READY,
        maintenance=in_maintenance,
        ram_total_bytes=memory.total,
        ram_reserved_bytes=max(reserved.ram, memory.reserved),
        ram_foreign_bytes=_foreign(memory.used, sum(ours.values())) if memory.is_unified_memory else 0,
        is_unified_memory=memory.is_unified_memory,
        devices=tuple(_device(device, reserved.vram, ours) for device in devices),
        backends=worker.status.backends,
        files=files,
        disk_free_bytes=_disk_free(worker.status.filesystem),
    )


def _device(device: Device, reserved_bytes: int, ours: Mapping[str, int]) -> DeviceView:
    foreign = _foreign(device.memory.used, ours.get(f"{device.type}:{device.index}", 0))
    if device.unmanaged is not None:
        foreign = device.unmanaged.memory
    return DeviceView(
        type=device.type,
        index=device.index,
        total_bytes=device.memory.total,
        name=device.name or "",
        vendor=device.vendor or "",
        compute_capability=device.compute_capability,
        reserved_bytes=max(reserved_bytes, device.memory.reserved),
        foreign_bytes=foreign,
    )


def _foreign(used: int | None, ours: int) -> int:
    """Of what is used, what our running instances are not known to use."""
    return max(0, (used or 0) - ours)


def _disk_free(disks: Iterable[Disk]) -> int | None:
    """Of the roomiest; None if nothing is known of any."""
    free = [disk.room() for disk in disks]
    return max((size for size in free if size is not None), default=None)


def _used_by_us(holdings: Iterable[Holding]) -> dict[int, dict[str, int]]:
    """By worker and device; main memory is under the empty name."""
    used: dict[int, dict[str, int]] = {}
    for holding in holdings:
        of_worker = used.setdefault(holding.worker, {})
        of_worker[""] = of_worker.get("", 0) + holding.claim.ram_bytes
        for device in holding.claim.vram_bytes:
            of_worker[device] = of_worker.get(device, 0) + holding.claim.held_bytes(device)
    return used


def _holdings(instance: Instance, at: int, workers: Mapping[int, Worker]) -> list[Holding]:
    if instance.state in HOLDS_NOTHING or (instance.worker_id is None and instance.worker_name is None):
        return []
    others = instance.distributed_servers.subordinate_workers if instance.distributed_servers else ()
    parts: list[Part] = [instance, *others]
    return [
        Holding(at, instance.deployment, _worker_of(part, workers, f"instances.{at}"), claim_of(part))
        for part in parts
    ]


def _worker_of(part: Part | ModelFile, workers: Mapping[int, Worker], where: str) -> int:
    by_name = {worker.name: ident for ident, worker in workers.items()}
    if part.worker_name is not None:
        if part.worker_name in by_name:
            return by_name[part.worker_name]
        raise BadInput(f"{where}.worker_name: no worker is called {part.worker_name!r}")
    if part.worker_id in workers and part.worker_id is not None:
        return part.worker_id
    raise BadInput(f"{where}.worker_id: no worker has the id {part.worker_id}")


def claim_of(part: Part) -> Claim:
    held = part.computed_resource_claim or Held()
    vram = {_key(index, part.gpu_type): size for index, size in (held.vram or {}).items()}
    for index in part.gpu_indexes:
        vram.setdefault(_key(str(index), part.gpu_type), 0)
    return Claim(
        ram_bytes=held.ram or 0,
        vram_bytes=vram,
        beside_bytes={_key(index, part.gpu_type): size for index, size in (held.vram_beside or {}).items()},
        fraction=held.vram_utilization,
        total_layers=held.total_layers,
        offload_layers=held.offload_layers,
    )


def _key(index: str, gpu_type: str | None) -> str:
    return index if ":" in index else f"{gpu_type or 'cuda'}:{index}"


def _files(files: Iterable[ModelFile], workers: Mapping[int, Worker]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for at, file in enumerate(files):
        if file.state == READY:
            found.setdefault(_worker_of(file, workers, f"model_files.{at}"), set()).update(file.locations())
    return found


def paths_of(cluster: Cluster, picture: Picture, path: str | None) -> Mapping[int, bool] | None:
    """Which workers have a local path; None if nothing is known of any files."""
    if cluster.model_files is None:
        return None
    return {worker.ident: path in worker.files for worker in picture.workers}
