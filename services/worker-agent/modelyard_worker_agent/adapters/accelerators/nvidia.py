"""NVIDIA devices, through NVML. The library is found by the system's loader as `libnvidia-ml.so.1`."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import pynvml
import structlog
from modelyard_contracts.inventory import DevicePart, GpuDevice

from modelyard_worker_agent.adapters.accelerators.reading import name_of
from modelyard_worker_agent.domain.telemetry import DeviceProcess, DeviceReading

logger = structlog.stdlib.get_logger()

T = TypeVar("T")


class NvidiaAccelerators:
    """`memory_bytes`: of the machine, which is also that of a device without memory of its own."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._open = False
        self._looking = threading.Lock()

    def devices(self) -> tuple[GpuDevice, ...]:
        return self._each(self._device)

    def readings(self) -> tuple[DeviceReading, ...]:
        return self._each(self._reading)

    def _each(self, look: Callable[[int], T]) -> tuple[T, ...]:
        """Of every device that answers: one that fell off the bus is as good as gone."""
        with self._looking:
            try:
                if not self._open:
                    pynvml.nvmlInit()
                    self._open = True
                count = pynvml.nvmlDeviceGetCount()
            except pynvml.NVMLError:
                self._close()
                return ()
            return tuple(self._all(look, count))

    @staticmethod
    def _all(look: Callable[[int], T], count: int) -> Iterator[T]:
        for index in range(count):
            try:
                yield look(index)
            except pynvml.NVMLError as error:
                logger.warning("a device does not answer", device=f"cuda:{index}", error=str(error))

    def _close(self) -> None:
        """So that the next look begins anew: the driver may have been loaded or exchanged."""
        if self._open:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
        self._open = False

    def _device(self, index: int) -> GpuDevice:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = _if_supported(pynvml.nvmlDeviceGetMemoryInfo, handle)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        cuda = pynvml.nvmlSystemGetCudaDriverVersion()
        limit_mw = _if_supported(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        return GpuDevice(
            vendor="nvidia",
            type="cuda",
            index=index,
            name=pynvml.nvmlDeviceGetName(handle),
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            memory_total_bytes=self._memory_bytes if memory is None else int(memory.total),
            is_unified_memory=memory is None,
            driver_version=pynvml.nvmlSystemGetDriverVersion(),
            runtime_version=f"{cuda // 1000}.{cuda % 1000 // 10}",
            compute_capability=f"{major}.{minor}",
            power_limit_w=None if limit_mw is None else round(limit_mw / 1000),
            parts=tuple(_part(part) for part in _parts(handle)),
        )

    def _reading(self, index: int) -> DeviceReading:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = _if_supported(pynvml.nvmlDeviceGetMemoryInfo, handle)
        busy = _if_supported(pynvml.nvmlDeviceGetUtilizationRates, handle)
        power_mw = _if_supported(pynvml.nvmlDeviceGetPowerUsage, handle)
        heat = _if_supported(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)
        processes = _processes(handle)
        held = sum(process.memory_bytes or 0 for process in processes)
        return DeviceReading(
            device=f"cuda:{index}",
            memory_used_bytes=held if memory is None else int(memory.used),
            processes=processes,
            utilization_percent=None if busy is None else float(busy.gpu),
            temperature_c=None if heat is None else float(heat),
            power_w=None if power_mw is None else power_mw / 1000,
        )


def _if_supported(ask: Callable[..., Any], *arguments: Any) -> Any:
    """None for what this device does not tell."""
    try:
        return ask(*arguments)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NoPermission):
        return None


def _parts(handle: Any) -> list[Any]:
    mode = _if_supported(pynvml.nvmlDeviceGetMigMode, handle)
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return []
    found = []
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument):
            found.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number))
    return found


def _part(handle: Any) -> DevicePart:
    return DevicePart(
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        name=pynvml.nvmlDeviceGetName(handle),
        memory_total_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
    )


def _processes(handle: Any) -> tuple[DeviceProcess, ...]:
    """Of compute and of graphics, and of all parts of a device in MIG mode; each process once."""
    held: dict[int, int | None] = {}
    asked = (pynvml.nvmlDeviceGetComputeRunningProcesses, pynvml.nvmlDeviceGetGraphicsRunningProcesses)
    for part in _parts(handle) or [handle]:
        for ask in asked:
            for process in _if_supported(ask, part) or ():
                held[process.pid] = _more(held.get(process.pid), process.usedGpuMemory)
    return tuple(DeviceProcess(pid, name_of(pid), memory) for pid, memory in held.items())


def _more(one: int | None, other: int | None) -> int | None:
    """A process that computes and draws is named by both lists, with the same memory."""
    return max((known for known in (one, other) if known is not None), default=None)
