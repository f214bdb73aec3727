"""A cluster as `GET /v2/workers`, `/v2/model-instances` and `/v2/model-files` show it, as a picture."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated

from modelyard_contracts.deployments import Claim
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from modelyard_placement.picture import READY, DeviceView, Holding, Picture, WorkerView

HOLDS_NOTHING = frozenset({"pending", "analyzing", "unschedulable", "error"})
"""States of an instance that is nowhere, or whose claim is given back."""
RUNNING = "running"


class BadInput(ValueError):
    """The message names the field."""


class Shown(BaseModel):
    """What an api shows has more fields than matter here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _empty(value: object) -> object:
    return {} if value is None else value


Size = Annotated[int, Field(ge=0)]


class Memory(Shown):
    total: Size = 0
    used: Size | None = None
    is_unified_memory: bool = False
    reserved: Size = 0


class Device(Shown):
    type: str
    index: Annotated[int, Field(ge=0)]
    name: str | None = None
    vendor: str | None = None
    compute_capability: str | None = None
    memory: Annotated[Memory, BeforeValidator(_empty)] = Memory()
    foreign: Size = 0


class Disk(Shown):
    total: Size = 0
    used: Size | None = None
    available: Size | None = None

    def free(self) -> int | None:
        if self.available is not None or self.used is None:
            return self.available
        return max(0, self.total - self.used)


class Status(Shown):
    memory: Annotated[Memory, BeforeValidator(_empty)] = Memory()
    gpu_devices: tuple[Device, ...] | None = ()
    backends: dict[str, str] | None = None
    filesystem: tuple[Disk, ...] | None = None


class Reserved(Shown):
    ram: Size = Field(0, validation_alias=AliasChoices("ram", "memory"))
    vram: Size = Field(0, validation_alias=AliasChoices("vram", "gpu_memory"))


class Maintenance(Shown):
    enabled: bool = False


class Worker(Shown):
    id: int | None = None
    name: Annotated[str, Field(min_length=1)]
    cluster_id: int | None = None
    labels: dict[str, str] | None = None
    state: str | None = None
    maintenance: Maintenance | None = None
    status: Annotated[Status, BeforeValidator(_empty)] = Status()
    system_reserved: Annotated[Reserved, BeforeValidator(_empty)] = Reserved()


class Held(Shown):
    """`computed_resource_claim`, whose `vram` is keyed by index, or by type and index."""

    ram: Size | None = 0
    vram: dict[str, Size] | None = None
    vram_utilization: float | None = None
    offload_layers: int | None = None
    total_layers: int | None = None


class Part(Shown):
    """What an instance has of one worker."""

    worker_id: int | None = None
    worker_name: str | None = Field(None, validation_alias=AliasChoices("worker_name", "name"))
    gpu_type: str | None = None
    gpu_indexes: tuple[int, ...] | None = None
    computed_resource_claim: Held | None = None


class Distributed(Shown):
    subordinate_workers: tuple[Part, ...] | None = ()


class Instance(Part):
    id: int | None = None
    name: str | None = None
    worker_name: str | None = None
    model_name: str | None = None
    state: str = RUNNING
    distributed_servers: Distributed | None = None

    @property
    def deployment(self) -> str:
        return self.model_name or (self.name or "").rpartition("-")[0] or f"instance {self.id}"


class ModelFile(Shown):
    worker_id: int | None = None
    worker_name: str | None = None
    state: str = READY
    huggingface_repo_id: str | None = None
    huggingface_filename: str | None = None
    model_scope_model_id: str | None = None
    model_scope_file_path: str | None = None
    local_path: str | None = None
    resolved_paths: tuple[str, ...] | None = ()

    def locations(self) -> set[str]:
        repository = self.huggingface_repo_id or self.model_scope_model_id
        file = self.huggingface_filename or self.model_scope_file_path
        hub = "/".join(part for part in (repository, file) if part)
        return {one for one in (hub, self.local_path, *(self.resolved_paths or ())) if one}


class Cluster(Shown):
    """The file of `modelyard simulate --cluster`."""

    workers: tuple[Worker, ...]
    instances: tuple[Instance, ...] = ()
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
    """Field by field, as in `workers.0.status.memory.total: Input should be ...`."""
    lines = []
    for one in error.errors(include_url=False):
        field = ".".join(str(part) for part in one["loc"])
        message = one["msg"].removeprefix("Value error, ")
        lines.append(f"{field}: {message}" if field else message)
    return "\n".join(lines)


def _numbered(workers: Iterable[Worker]) -> dict[int, Worker]:
    """By id; where ids are missing, by the order of names, so that the file's order never matters."""
    ordered = sorted(workers, key=lambda worker: worker.name)
    for before, after in pairwise(ordered):
        if before.name == after.name:
            raise BadInput(f"workers: two of them are called {after.name!r}")
    idents = [worker.id for worker in ordered]
    if None not in idents and len(set(idents)) == len(idents):
        return {worker.id: worker for worker in ordered if worker.id is not None}
    return dict(enumerate(ordered, start=1))


def _view(ident: int, worker: Worker, ours: Mapping[str, int], files: frozenset[str]) -> WorkerView:
    memory, reserved = worker.status.memory, worker.system_reserved
    in_maintenance = worker.state == "maintenance" or bool(worker.maintenance and worker.maintenance.enabled)
    devices = worker.status.gpu_devices or ()
    return WorkerView(
        ident=ident,
        name=worker.name,
        cluster_id=worker.cluster_id,
        labels=worker.labels or {},
        state=READY if worker.state in (None, "maintenance") else worker.state or READY,
        maintenance=in_maintenance,
        ram_total_bytes=memory.total,
        ram_reserved_bytes=max(reserved.ram, memory.reserved),
        ram_foreign_bytes=_foreign(
            memory.used, sum(ours.values()) if memory.is_unified_memory else ours.get("", 0)
        ),
        is_unified_memory=memory.is_unified_memory,
        devices=tuple(_device(device, reserved.vram, ours) for device in devices),
        backends=worker.status.backends,
        files=files,
        disk_free_bytes=_disk_free(worker.status.filesystem or ()),
    )


def _device(device: Device, reserved_bytes: int, ours: Mapping[str, int]) -> DeviceView:
    foreign = _foreign(device.memory.used, ours.get(f"{device.type}:{device.index}", 0))
    return DeviceView(
        type=device.type,
        index=device.index,
        total_bytes=device.memory.total,
        name=device.name or "",
        vendor=device.vendor or "",
        compute_capability=device.compute_capability,
        reserved_bytes=max(reserved_bytes, device.memory.reserved),
        foreign_bytes=max(foreign, device.foreign),
    )


def _foreign(used: int | None, ours: int) -> int:
    """Of what is used, what our running instances are not known to use."""
    return max(0, (used or 0) - ours)


def _disk_free(disks: Iterable[Disk]) -> int | None:
    """Of the roomiest; None if nothing is known of any."""
    free = [disk.free() for disk in disks]
    return max((size for size in free if size is not None), default=None)


def _used_by_us(holdings: Iterable[Holding]) -> dict[int, dict[str, int]]:
    """By worker and device; main memory is under the empty name."""
    used: dict[int, dict[str, int]] = {}
    for holding in holdings:
        of_worker = used.setdefault(holding.worker, {})
        of_worker[""] = of_worker.get("", 0) + holding.claim.ram_bytes
        for device, size in holding.claim.vram_bytes.items():
            of_worker[device] = of_worker.get(device, 0) + size
    return used


def _holdings(instance: Instance, at: int, workers: Mapping[int, Worker]) -> list[Holding]:
    if instance.state in HOLDS_NOTHING or (instance.worker_id is None and instance.worker_name is None):
        return []
    others = instance.distributed_servers.subordinate_workers if instance.distributed_servers else ()
    parts: list[Part] = [instance, *(others or ())]
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
    for index in part.gpu_indexes or ():
        vram.setdefault(_key(str(index), part.gpu_type), 0)
    return Claim(
        ram_bytes=held.ram or 0,
        vram_bytes=vram,
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
