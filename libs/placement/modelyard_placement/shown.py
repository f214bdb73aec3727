"""Workers, instances and model files as an api shows them: what matters here of it."""

from typing import Annotated

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from modelyard_placement.picture import READY

RUNNING = "running"


class Shown(BaseModel):
    """What an api shows has more fields than matter here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _empty(value: object) -> object:
    return {} if value is None else value


def nothing(value: object) -> object:
    return () if value is None else value


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) else value


Size = Annotated[int, Field(ge=0)]


class Memory(Shown):
    total: Size = 0
    used: Size | None = None
    is_unified_memory: bool = False
    reserved: Size = 0


class Unmanaged(Shown):
    memory: Size = 0


class Device(Shown):
    type: str
    index: Annotated[int, Field(ge=0)]
    name: str | None = None
    vendor: str | None = None
    compute_capability: Annotated[str | None, BeforeValidator(_text)] = None
    memory: Annotated[Memory, BeforeValidator(_empty)] = Memory()
    parts: Annotated[tuple[Shown, ...], BeforeValidator(nothing)] = ()
    """Of a device in MIG mode, on which nothing runs but in its parts."""
    unmanaged: Unmanaged | None = None
    """What processes hold that are no instances, as the worker's agent says; None: found out by `used`."""


class Disk(Shown):
    total: Size = 0
    used: Size | None = None
    free: Size | None = None
    available: Size | None = None

    def room(self) -> int | None:
        """For further models; None: not known."""
        if self.available is not None or self.free is not None:
            return self.free if self.available is None else self.available
        return None if self.used is None else max(0, self.total - self.used)


class Status(Shown):
    memory: Annotated[Memory, BeforeValidator(_empty)] = Memory()
    gpu_devices: Annotated[tuple[Device, ...], BeforeValidator(nothing)] = ()
    backends: dict[str, str] | None = None
    filesystem: Annotated[tuple[Disk, ...], BeforeValidator(nothing)] = ()


class Reserved(Shown):
    ram: Size = Field(0, validation_alias=AliasChoices("ram", "memory"))
    vram: Size = Field(0, validation_alias=AliasChoices("vram", "gpu_memory"))


class Maintenance(Shown):
    enabled: bool = False


class Worker(Shown):
    id: int | None = None
    name: Annotated[str, Field(min_length=1)]
    cluster_id: int | None = None
    labels: Annotated[dict[str, str], BeforeValidator(_empty)] = {}
    state: str | None = None
    maintenance: Maintenance | None = None
    status: Annotated[Status, BeforeValidator(_empty)] = Status()
    system_reserved: Annotated[Reserved, BeforeValidator(_empty)] = Reserved()


ByDevice = dict[Annotated[str, Field(pattern=r"^([a-z]+:)?\d+$")], Size]


class Held(Shown):
    """`computed_resource_claim`, whose `vram` is keyed by index, or by type and index."""

    ram: Size | None = 0
    vram: ByDevice | None = None
    vram_beside: ByDevice | None = None
    vram_utilization: float | None = None
    offload_layers: int | None = None
    total_layers: int | None = None


class Part(Shown):
    """What an instance has of one worker."""

    worker_id: int | None = None
    worker_name: str | None = Field(None, validation_alias=AliasChoices("worker_name", "name"))
    gpu_type: str | None = None
    gpu_indexes: Annotated[tuple[int, ...], BeforeValidator(nothing)] = ()
    computed_resource_claim: Held | None = None


class Distributed(Shown):
    subordinate_workers: Annotated[tuple[Part, ...], BeforeValidator(nothing)] = ()


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
    resolved_paths: Annotated[tuple[str, ...], BeforeValidator(nothing)] = ()

    def locations(self) -> set[str]:
        repository = self.huggingface_repo_id or self.model_scope_model_id
        file = self.huggingface_filename or self.model_scope_file_path
        hub = "/".join(part for part in (repository, file) if part)
        whole = f"{repository}/*.gguf" if repository and not file else None
        return {one for one in (hub, whole, self.local_path, *self.resolved_paths) if one}
