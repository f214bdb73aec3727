"""What an estimator is asked."""

from dataclasses import dataclass

from modelyard_contracts.models import ModelFacts

from modelyard_models.beside import Beside
from modelyard_models.flags import Flags
from modelyard_models.layout import Device, Layout


@dataclass(frozen=True, slots=True)
class Request:
    facts: ModelFacts
    version: str | None
    flags: Flags
    layout: Layout
    beside: Beside

    @property
    def smallest(self) -> Device | None:
        """The device with the least memory; None on a machine without."""
        return min(self.layout.devices(), key=lambda device: device.memory_bytes, default=None)

    def worker_of(self, rank: int) -> int:
        """The position of the worker that holds a device."""
        for position, worker in enumerate(self.layout.workers):
            if rank < len(worker.devices):
                return position
            rank -= len(worker.devices)
        return 0
