"""How much of a worker is free, device by device, and who is on it."""

from collections import defaultdict
from collections.abc import Hashable, Iterable

from modelyard_placement.picture import DeviceKind, DeviceView, Holding, WorkerView


class Room:
    """Of one worker: it follows what is taken and given back. Amounts are below zero if a worker shrank
    beneath what runs on it.

    A device's room is its memory less claims, with what is held beside them, and less the larger of its
    reserve and what foreign processes were measured to hold: never more than total - claims - reserve, nor
    more than what is really free.
    """

    __slots__ = (
        "_devices",
        "_frees",
        "_likeness",
        "coming",
        "crowd",
        "device_crowd",
        "free",
        "holdings",
        "of_deployment",
        "ram_free",
        "worker",
    )

    def __init__(self, worker: WorkerView, holdings: Iterable[Holding] = ()) -> None:
        self.worker = worker
        self.holdings: dict[Hashable, Holding] = {}
        self.of_deployment: dict[Hashable, int] = defaultdict(int)
        self.crowd = 0
        """Instances on it, whatever they take."""
        self.device_crowd: dict[str, int] = {device.key: 0 for device in worker.devices}
        self.free: dict[str, int] = {}
        self.ram_free = 0
        self.coming: dict[str, int] = {}
        """Bytes that models of instances here will take of the disk, by location: each counts once."""
        self._devices: dict[DeviceKind, list[DeviceView]] = {}
        for device in worker.devices:
            self._devices.setdefault(device.kind, []).append(device)
        self._frees: dict[DeviceKind, list[int]] = {}
        self._likeness: Hashable = None
        for holding in holdings:
            self._count(holding, 1)
            self.holdings[holding.instance] = holding
        self.measure()

    def take(self, holding: Holding) -> None:
        """A second claim of the same instance takes the place of the first."""
        self._forget(holding.instance)
        self.holdings[holding.instance] = holding
        self._count(holding, 1)
        self.measure()

    def give_back(self, instance: Hashable) -> None:
        self._forget(instance)
        self.measure()

    def same(self, deployment: Hashable) -> int:
        """How many instances of this deployment are on it."""
        return self.of_deployment.get(deployment, 0)

    def same_on(self, device: str, deployment: Hashable) -> int:
        if not self.same(deployment):
            return 0
        return sum(
            holding.deployment == deployment and device in holding.claim.vram_bytes
            for holding in self.holdings.values()
        )

    def emptiest(self) -> int:
        """Instances on its least crowded device."""
        return min(self.device_crowd.values(), default=0)

    def idle(self) -> int:
        """Devices that no instance is on."""
        return sum(count == 0 for count in self.device_crowd.values())

    def kinds(self) -> Iterable[DeviceKind]:
        return self._devices.keys()

    def devices_of(self, kind: DeviceKind) -> list[DeviceView]:
        return self._devices.get(kind, [])

    def frees(self, kind: DeviceKind) -> list[int]:
        """The room of its devices of this kind, the roomiest first."""
        return self._frees.get(kind, [])

    def disk_free(self) -> int | None:
        """Less what comes; None if it is not known."""
        free = self.worker.disk_free_bytes
        return None if free is None else free - sum(self.coming.values())

    def likeness(self) -> Hashable:
        """Equal for workers whose devices and memory are alike and as free and as crowded."""
        if self._likeness is None:
            worker = self.worker
            devices = tuple(
                (device.key, device.kind, self.free[device.key], self.device_crowd[device.key])
                for device in worker.devices
            )
            self._likeness = worker.is_unified_memory, self.ram_free, self.crowd, devices
        return self._likeness

    def _forget(self, instance: Hashable) -> None:
        held = self.holdings.pop(instance, None)
        if held is not None:
            self._count(held, -1)

    def _count(self, holding: Holding, by: int) -> None:
        self.crowd += by
        self.of_deployment[holding.deployment] += by
        if not self.of_deployment[holding.deployment]:
            del self.of_deployment[holding.deployment]
        for device in holding.claim.vram_bytes:
            if device in self.device_crowd:
                self.device_crowd[device] += by

    def measure(self) -> None:
        """What is free follows from the worker and all holdings."""
        worker = self.worker
        self._likeness = None
        self.coming = {
            holding.location: holding.download_bytes
            for holding in self.holdings.values()
            if holding.download_bytes and holding.location not in worker.files | worker.arriving
        }
        claims = [holding.claim for holding in self.holdings.values()]
        ram_claimed = sum(claim.ram_bytes for claim in claims)
        taken: dict[str, int] = defaultdict(int)
        for claim in claims:
            for key in claim.vram_bytes:
                taken[key] += claim.held_bytes(key)
        unusable = max(worker.ram_reserved_bytes, worker.ram_foreign_bytes)
        if worker.is_unified_memory:
            reserved = worker.ram_reserved_bytes + sum(device.reserved_bytes for device in worker.devices)
            unusable = max(reserved, worker.ram_foreign_bytes)
            ram_claimed += sum(taken.values())
        self.ram_free = worker.ram_total_bytes - ram_claimed - unusable
        for kind, devices in self._devices.items():
            frees = []
            for device in devices:
                free = (
                    device.total_bytes - taken[device.key] - max(device.reserved_bytes, device.foreign_bytes)
                )
                free = min(free, self.ram_free) if worker.is_unified_memory else free
                self.free[device.key] = free
                frees.append(free)
            frees.sort(reverse=True)
            self._frees[kind] = frees
