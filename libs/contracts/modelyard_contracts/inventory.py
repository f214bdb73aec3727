"""What a worker has: stated when it changes. Utilisation is telemetry and never an event."""

from modelyard_contracts.base import Contract


class GpuDevice(Contract):
    """One accelerator. `type` and `index` name it on its worker, as in `cuda:0`."""

    vendor: str
    type: str
    index: int
    name: str
    uuid: str
    memory_total_bytes: int
    driver_version: str | None = None
    runtime_version: str | None = None
    compute_capability: str | None = None


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
