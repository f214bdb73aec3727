"""Ascend devices, as the table of `npu-smi info` tells of them.

It has two lines for each chip (name, health, power, temperature; bus, utilisation, memory) and below them one
for each process. Columns are parted by `|`, and by blanks within.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from modelyard_contracts.inventory import GpuDevice

from modelyard_worker_agent.adapters.accelerators.reading import output_of
from modelyard_worker_agent.domain.telemetry import DeviceProcess, DeviceReading

MIB = 2**20
VERSION = re.compile(r"npu-smi\s+\S+\s+Version:\s*(\S+)")
BUS = re.compile(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d")
USAGE = re.compile(r"(\d+)\s*/\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Chip:
    npu: int
    chip: int
    name: str
    bus: str
    memory_used_bytes: int
    memory_total_bytes: int
    utilization_percent: float | None
    temperature_c: float | None
    power_w: float | None


@dataclass(frozen=True, slots=True)
class NpuTable:
    version: str | None
    chips: tuple[Chip, ...]
    processes: tuple[tuple[int, int, DeviceProcess], ...]
    """With NPU and chip."""


class AscendAccelerators:
    def devices(self) -> tuple[GpuDevice, ...]:
        return devices_of(read_table(output_of("npu-smi", "info")))

    def readings(self) -> tuple[DeviceReading, ...]:
        return readings_of(read_table(output_of("npu-smi", "info")))


def devices_of(table: NpuTable) -> tuple[GpuDevice, ...]:
    return tuple(
        GpuDevice(
            vendor="ascend",
            type="cann",
            index=index,
            name=f"Ascend {chip.name}",
            uuid=f"{chip.bus}/{chip.npu}/{chip.chip}",
            memory_total_bytes=chip.memory_total_bytes,
            driver_version=table.version,
        )
        for index, chip in enumerate(table.chips)
    )


def readings_of(table: NpuTable) -> tuple[DeviceReading, ...]:
    return tuple(
        DeviceReading(
            device=f"cann:{index}",
            memory_used_bytes=chip.memory_used_bytes,
            processes=tuple(
                process for npu, number, process in table.processes if (npu, number) == (chip.npu, chip.chip)
            ),
            utilization_percent=chip.utilization_percent,
            temperature_c=chip.temperature_c,
            power_w=chip.power_w,
        )
        for index, chip in enumerate(table.chips)
    )


def read_table(text: str) -> NpuTable:
    """Lines that mean nothing to us are passed over, so a text that is no table has no chips."""
    version = VERSION.search(text)
    chips: list[Chip] = []
    processes: list[tuple[int, int, DeviceProcess]] = []
    above: list[str] | None = None
    for cells in _rows(text):
        if len(cells) >= 4:
            process = _process(cells)
            processes += [process] if process is not None else []
        elif len(cells) == 3 and BUS.search(cells[1]) and above is not None:
            chips.append(_chip(above, cells))
        elif len(cells) == 3 and cells[0].split()[:1] and cells[0].split()[0].isdecimal():
            above = cells
    return NpuTable(version[1] if version else None, tuple(chips), tuple(processes))


def _rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def _chip(above: list[str], below: list[str]) -> Chip:
    npu, name = [*above[0].split(maxsplit=1), "?"][:2]
    power, heat = [*above[2].split(), "NA", "NA"][:2]
    bus = BUS.search(below[1])
    # main memory and HBM; a chip has one of them, and the other is 0 / 0
    used, total = max(
        ((int(used), int(total)) for used, total in USAGE.findall(below[2])), key=lambda pair: pair[1]
    )
    return Chip(
        npu=int(npu),
        chip=int(below[0].split()[0]),
        name=name,
        bus=bus[0] if bus else "",
        memory_used_bytes=used * MIB,
        memory_total_bytes=total * MIB,
        utilization_percent=_number(below[2].split()[0]),
        temperature_c=_number(heat),
        power_w=_number(power),
    )


def _process(cells: list[str]) -> tuple[int, int, DeviceProcess] | None:
    where = cells[0].split()
    if not (len(where) == 2 and all(part.isdecimal() for part in (*where, cells[1], cells[3]))):
        return None
    held = DeviceProcess(int(cells[1]), cells[2], int(cells[3]) * MIB)
    return int(where[0]), int(where[1]), held


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
