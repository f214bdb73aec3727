"""What this machine has."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import psutil
import pynvml
from modelyard_contracts.inventory import GpuDevice, Inventory

PACKAGES = {"llama.cpp": "xllamacpp"}


def take_inventory(*, reserved_ram_bytes: int) -> Inventory:
    return Inventory(
        os=platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu_count=os.cpu_count() or 1,
        memory_total_bytes=psutil.virtual_memory().total,
        reserved_ram_bytes=reserved_ram_bytes,
        gpu_devices=_nvidia_devices(),
        backends=_backends(),
    )


def _backends() -> dict[str, str]:
    found: dict[str, str] = {}
    for backend, package in PACKAGES.items():
        try:
            found[backend] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _nvidia_devices() -> tuple[GpuDevice, ...]:
    """Empty where there is no NVIDIA driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_nvidia_device(index) for index in range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()


def _nvidia_device(index: int) -> GpuDevice:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    cuda = pynvml.nvmlSystemGetCudaDriverVersion()
    return GpuDevice(
        vendor="nvidia",
        type="cuda",
        index=index,
        name=pynvml.nvmlDeviceGetName(handle),
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        memory_total_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        driver_version=pynvml.nvmlSystemGetDriverVersion(),
        runtime_version=f"{cuda // 1000}.{cuda % 1000 // 10}",
        compute_capability=f"{major}.{minor}",
    )
