"""How busy a worker is right now. It travels with heartbeats and is never an event."""

from pydantic import ConfigDict

from modelyard_contracts.base import Contract, Instant


class ForeignProcess(Contract):
    """A process on a device that none of our instances started."""

    pid: int
    name: str
    memory_bytes: int | None = None
    """None where the driver does not tell."""


class DeviceUse(Contract):
    device: str
    """As in `cuda:0`."""
    memory_used_bytes: int
    foreign_bytes: int = 0
    """Of `memory_used_bytes`, what processes that are not ours hold, as far as the driver tells."""
    foreign: tuple[ForeignProcess, ...] = ()
    """The largest first; not all where there are many."""
    utilization_percent: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None


class Download(Contract):
    """A model on its way to a worker."""

    model_id: str
    """`ModelCoordinates.model_id`."""
    total_bytes: int
    """0 while the hub has not said what there is, or others are fetched first."""
    done_bytes: int
    bytes_per_s: float | None = None
    remaining_s: float | None = None


class DiskUse(Contract):
    """Of the filesystem that keeps downloaded models."""

    used_bytes: int
    room_bytes: int
    """What further models may take: what is free, or left of the quota, and what would give way to them, less
    what downloads under way still take."""


class Telemetry(Contract):
    # what an agent of another version says beside is passed over
    model_config = ConfigDict(frozen=True, extra="ignore")

    read_at: Instant
    cpu_percent: float
    memory_used_bytes: int
    devices: tuple[DeviceUse, ...] = ()
    downloads: tuple[Download, ...] = ()
    disk: DiskUse | None = None
    starting: int = 0
    """How many model servers are starting."""
    waiting: tuple[int, ...] = ()
    """The instances that wait for others to start, the next one first."""
