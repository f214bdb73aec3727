"""What this machine has."""

import os
import platform
from collections.abc import Callable, Mapping

import psutil
from modelyard_contracts.inventory import Inventory, ModelDisk

from modelyard_worker_agent.ports import Accelerators


def take_inventory(
    accelerators: Accelerators,
    backends: Callable[[], Mapping[str, str]],
    model_disk: Callable[[], ModelDisk],
    *,
    reserved_ram_bytes: int,
) -> Inventory:
    """Raises OSError."""
    return Inventory(
        os=platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu_count=os.cpu_count() or 1,
        memory_total_bytes=psutil.virtual_memory().total,
        reserved_ram_bytes=reserved_ram_bytes,
        gpu_devices=accelerators.devices(),
        backends=dict(backends()),
        model_disk=model_disk(),
    )
