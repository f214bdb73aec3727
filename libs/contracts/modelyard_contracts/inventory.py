"""What a worker has: stated when it changes. Utilisation is telemetry and never an event."""

from modelyard_contracts.base import Contract


class DevicePart(Contract):
    """A part of a device that is a device to programs: a MIG instance."""

    uuid: str
    name: str
    memory_total_bytes: int


class GpuDevice(Contract):
    """One accelerator. `type` and `index` name it on its worker, as in `cuda:0`."""

    vendor: str
    type: str
    index: int
    name: str
    uuid: str
    memory_total_bytes: int
    is_unified_memory: bool = False
    """It has no memory of its own: `memory_total_bytes` is main memory that programs may use too."""
    driver_version: str | None = None
    runtime_version: str | None = None
    compute_capability: str | None = None
    """Of CUDA, as in `9.0`; of ROCm the target, as in `gfx942`."""
    power_limit_w: int | None = None
    parts: tuple[DevicePart, ...] = ()
    """Of a device in MIG mode, on which nothing runs but in its parts."""

    @property
    def key(self) -> str:
        return f"{self.type}:{self.index}"


class ModelDisk(Contract):
    """The filesystem that keeps downloaded models."""

    mount_point: str
    total_bytes: int
    quota_bytes: int = 0
    """Most that models may take of it; 0: all there is."""


class Inventory(Contract):
    os: str
    kernel: str
    architecture: str
    cpu_count: int
    memory_total_bytes: int
    reserved_ram_bytes: int = 0
    gpu_devices: tuple[GpuDevice, ...] = ()
    backends: dict[str, str] = {}
    """Backends that can start here, with their versions."""
    model_disk: ModelDisk | None = None

    @property
    def is_unified_memory(self) -> bool:
        return any(device.is_unified_memory for device in self.gpu_devices)
