"""What a model server holds of memory, by what the machine says of its processes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from modelyard_worker_agent.domain.telemetry import DeviceReading


@dataclass(frozen=True, slots=True)
class Held:
    """`ram_bytes` and `anonymous_bytes` are None where the system does not tell."""

    vram_bytes: Mapping[str, int]
    ram_bytes: int | None
    anonymous_bytes: int | None


def vram_held(readings: Sequence[DeviceReading], pids: Collection[int]) -> dict[str, int]:
    """By device, of those that these processes are on; left out where the driver does not tell."""
    held = {}
    for reading in readings:
        sizes = [process.memory_bytes for process in reading.processes if process.pid in pids]
        known = [size for size in sizes if size is not None]
        if sizes and len(known) == len(sizes):
            held[reading.device] = sum(known)
    return held
