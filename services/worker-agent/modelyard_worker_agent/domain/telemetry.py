"""How busy the machine is, and which of it is not our doing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from modelyard_contracts.telemetry import DeviceUse, DiskUse, Download, ForeignProcess, Telemetry

MOST_PROCESSES = 16
"""Named of each device: a heartbeat is small."""


@dataclass(frozen=True, slots=True)
class DeviceProcess:
    """A process that holds memory of a device; `memory_bytes` is None where the driver does not tell."""

    pid: int
    name: str
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """How busy a device is at one moment. `device` as in `cuda:0`."""

    device: str
    memory_used_bytes: int
    processes: tuple[DeviceProcess, ...] = ()
    utilization_percent: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None


def telemetry(
    readings: Sequence[DeviceReading],
    ours: Collection[int],
    *,
    read_at: datetime,
    cpu_percent: float,
    memory_used_bytes: int,
    downloads: tuple[Download, ...] = (),
    disk: DiskUse | None = None,
    starting: int = 0,
    waiting: tuple[int, ...] = (),
) -> Telemetry:
    """`ours`: the pids of our own instances."""
    return Telemetry(
        read_at=read_at,
        cpu_percent=cpu_percent,
        memory_used_bytes=memory_used_bytes,
        downloads=downloads,
        disk=disk,
        starting=starting,
        waiting=waiting,
        devices=tuple(_use(reading, ours) for reading in readings),
    )


def _use(reading: DeviceReading, ours: Collection[int]) -> DeviceUse:
    foreign = sorted(
        (process for process in reading.processes if process.pid not in ours), key=_size, reverse=True
    )
    return DeviceUse(
        device=reading.device,
        memory_used_bytes=reading.memory_used_bytes,
        foreign_bytes=sum(_size(process) for process in foreign),
        foreign=tuple(
            ForeignProcess(pid=process.pid, name=process.name, memory_bytes=process.memory_bytes)
            for process in foreign[:MOST_PROCESSES]
        ),
        utilization_percent=reading.utilization_percent,
        temperature_c=reading.temperature_c,
        power_w=reading.power_w,
    )


def _size(process: DeviceProcess) -> int:
    return process.memory_bytes or 0
