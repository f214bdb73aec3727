"""On tables as `npu-smi info` prints them."""

from pathlib import Path

import pytest
from modelyard_worker_agent.adapters.accelerators.ascend import (
    MIB,
    AscendAccelerators,
    devices_of,
    read_table,
    readings_of,
)

IDLE_AND_BUSY = (Path(__file__).parent / "npu-smi-910b3.txt").read_text()
TWO_CHIPS_A_CARD = (Path(__file__).parent / "npu-smi-310p3.txt").read_text()


def test_a_table_of_910b_is_read() -> None:
    table = read_table(IDLE_AND_BUSY)

    first, second = devices_of(table)
    assert (first.vendor, first.key, first.name) == ("ascend", "cann:0", "Ascend 910B3")
    assert (first.memory_total_bytes, first.driver_version) == (65536 * MIB, "26.0.rc1")
    assert second.key == "cann:1"
    busy, idle = readings_of(table)
    assert (busy.memory_used_bytes, busy.utilization_percent) == (53984 * MIB, 7.0)
    assert (busy.power_w, busy.temperature_c) == (90.7, 37.0)
    [process] = busy.processes
    assert (process.pid, process.name, process.memory_bytes) == (1712733, "sglangschedul", 48954 * MIB)
    assert (idle.memory_used_bytes, idle.processes) == (3318 * MIB, ())


def test_the_chips_of_one_card_are_devices_of_their_own() -> None:
    table = read_table(TWO_CHIPS_A_CARD)

    devices = devices_of(table)
    assert [(device.key, device.memory_total_bytes // MIB) for device in devices] == [
        ("cann:0", 44280),
        ("cann:1", 43693),
    ]
    assert len({device.uuid for device in devices}) == 2
    assert [reading.power_w for reading in readings_of(table)] == [None, None]


@pytest.mark.parametrize("text", ["", "dcmi module initialize failed. ret is -8005\n", "| a | b | c |\n"])
def test_what_is_no_table_has_no_devices(text: str) -> None:
    assert devices_of(read_table(text)) == ()


def test_the_program_is_asked_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert AscendAccelerators().devices() == ()
    program = tmp_path / "npu-smi"
    program.write_text(f"#!/bin/sh\n[ \"$1\" = info ] || exit 1\nprintf '%s' '{IDLE_AND_BUSY}'\n")
    program.chmod(0o755)

    assert len(AscendAccelerators().devices()) == 2
    assert [reading.device for reading in AscendAccelerators().readings()] == ["cann:0", "cann:1"]
