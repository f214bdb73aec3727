"""What this machine has."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import psutil
from modelyard_contracts.inventory import Inventory

from modelyard_worker_agent.ports import Accelerators

PACKAGES = {"llama.cpp": "xllamacpp"}


def take_inventory(accelerators: Accelerators, *, reserved_ram_bytes: int) -> Inventory:
    return Inventory(
        os=platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu_count=os.cpu_count() or 1,
        memory_total_bytes=psutil.virtual_memory().total,
        reserved_ram_bytes=reserved_ram_bytes,
        gpu_devices=accelerators.devices(),
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
