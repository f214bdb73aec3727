"""Where a model would run: the devices of one worker, or of several."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    type: str
    """As in `cuda`, `rocm`, `cann`, `mps`."""
    memory_bytes: int
    """As the device reports it (an H100 of "80 GB" reports 79.19 GiB)."""
    free_bytes: int | None = None
    """None: all of it."""
    name: str = ""
    compute_capability: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerLayout:
    devices: tuple[Device, ...] = ()
    """Empty: main memory and CPU only."""
    is_unified_memory: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The primary worker first. Ranks count through the workers' devices in this order."""

    workers: tuple[WorkerLayout, ...]
    offload_layers: int | None = None
    """Layers on devices (llama.cpp's `-ngl`); None: what the parameters say, else all."""

    def devices(self) -> tuple[Device, ...]:
        return tuple(device for worker in self.workers for device in worker.devices)


CPU_ONLY = Layout((WorkerLayout(),))
