"""The devices of this machine, whatever kind they are."""

import platform
from collections.abc import Sequence
from pathlib import Path

import psutil
from modelyard_contracts.inventory import GpuDevice

from modelyard_worker_agent.adapters.accelerators.amd import AmdAccelerators
from modelyard_worker_agent.adapters.accelerators.apple import AppleAccelerators
from modelyard_worker_agent.adapters.accelerators.ascend import AscendAccelerators
from modelyard_worker_agent.adapters.accelerators.nvidia import NvidiaAccelerators
from modelyard_worker_agent.domain.telemetry import DeviceReading
from modelyard_worker_agent.ports import Accelerators


class AllAccelerators:
    """Those of several kinds, one kind after the other. With none, a machine of CPUs only."""

    def __init__(self, kinds: Sequence[Accelerators]) -> None:
        self._kinds = kinds

    def devices(self) -> tuple[GpuDevice, ...]:
        return tuple(device for kind in self._kinds for device in kind.devices())

    def readings(self) -> tuple[DeviceReading, ...]:
        return tuple(reading for kind in self._kinds for reading in kind.readings())


def accelerators_of_this_machine() -> AllAccelerators:
    memory_bytes = psutil.virtual_memory().total
    if platform.system() == "Darwin":
        return AllAccelerators([AppleAccelerators(memory_bytes)])
    return AllAccelerators(
        [NvidiaAccelerators(memory_bytes), AmdAccelerators(Path("/sys")), AscendAccelerators()]
    )
