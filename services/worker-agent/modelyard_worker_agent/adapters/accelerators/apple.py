"""The GPU of an Apple chip: its name from `system_profiler`, its use from `ioreg`. Its memory is the
machine's, and macOS does not tell which process holds how much of it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from modelyard_contracts.inventory import GpuDevice

from modelyard_worker_agent.adapters.accelerators.reading import output_of
from modelyard_worker_agent.domain.telemetry import DeviceReading

USED = re.compile(r'"In use system memory"=(\d+)')
BUSY = re.compile(r'"Device Utilization %"=(\d+)')


class AppleAccelerators:
    """`memory_bytes`: of the machine."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes

    def devices(self) -> tuple[GpuDevice, ...]:
        told = output_of("system_profiler", "SPDisplaysDataType", "SPSoftwareDataType", "-json")
        return devices_of(told, self._memory_bytes)

    def readings(self) -> tuple[DeviceReading, ...]:
        return readings_of(output_of("ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator"))


def devices_of(told: str, memory_bytes: int) -> tuple[GpuDevice, ...]:
    """`told`: by `system_profiler -json`. Only chips of Apple's own count: others share no memory."""
    try:
        report: Mapping[str, Any] = json.loads(told)
    except ValueError:
        return ()
    cards = [card for card in report.get("SPDisplaysDataType", ()) if _is_apple(card)]
    system: Mapping[str, Any] = next(iter(report.get("SPSoftwareDataType", ())), {})
    return tuple(
        GpuDevice(
            vendor="apple",
            type="mps",
            index=index,
            name=str(card.get("sppci_model") or card.get("_name")),
            uuid=f"apple/{index}",
            memory_total_bytes=memory_bytes,
            is_unified_memory=True,
            driver_version=system.get("os_version"),
            compute_capability=card.get("spdisplays_mtlgpufamilysupport"),
        )
        for index, card in enumerate(cards)
    )


def _is_apple(card: Mapping[str, Any]) -> bool:
    return "apple" in str(card.get("spdisplays_vendor", "")).lower() or str(
        card.get("sppci_model", "")
    ).startswith("Apple ")


def readings_of(told: str) -> tuple[DeviceReading, ...]:
    """`told`: by `ioreg`."""
    used, busy = USED.search(told), BUSY.search(told)
    if used is None:
        return ()
    return (
        DeviceReading(
            device="mps:0",
            memory_used_bytes=int(used[1]),
            utilization_percent=float(busy[1]) if busy else None,
        ),
    )
