"""What an estimator is asked."""

from dataclasses import dataclass

from modelyard_contracts.models import ModelFacts
from modelyard_contracts.parameters import BadParameters

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

    def require_devices(self, backend: str) -> None:
        """Raises `BadParameters` on a machine without devices."""
        if not self.layout.devices():
            raise BadParameters(f"{backend} needs a GPU or its like, and there is none")
