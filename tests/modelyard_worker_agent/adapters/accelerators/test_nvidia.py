"""The real pynvml, on a small library that answers as NVML does."""

import os
import threading
from pathlib import Path

import pytest
from fake_nvml import GIB, FakeNvml, Gpu
from modelyard_contracts.inventory import DevicePart
from modelyard_worker_agent.adapters.accelerators.nvidia import NvidiaAccelerators
from modelyard_worker_agent.domain.telemetry import DeviceProcess

MACHINE_BYTES = 128 * GIB


@pytest.fixture
def nvml(fake_nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake_nvml.load(monkeypatch)
    return fake_nvml


def test_a_device_says_what_it_is(nvml: FakeNvml) -> None:
    nvml.say([Gpu("GPU-a"), Gpu("GPU-b", name="NVIDIA A40", total=48 * GIB, capability="8 6")])

    first, second = NvidiaAccelerators(MACHINE_BYTES).devices()

    assert (first.vendor, first.key, first.name) == ("nvidia", "cuda:0", "NVIDIA H100 80GB HBM3")
    assert (first.uuid, first.memory_total_bytes) == ("GPU-a", 80 * GIB)
    assert (first.driver_version, first.runtime_version) == ("580.65.06", "13.0")
    assert (first.compute_capability, first.power_limit_w) == ("9.0", 700)
    assert not first.is_unified_memory
    assert (second.key, second.compute_capability, second.memory_total_bytes) == ("cuda:1", "8.6", 48 * GIB)


def test_a_device_says_how_busy_it_is(nvml: FakeNvml) -> None:
    nvml.say([Gpu("GPU-a", used=5 * GIB, busy=37, lines=[f"process {os.getpid()} {4 * GIB}"])])

    [reading] = NvidiaAccelerators(MACHINE_BYTES).readings()

    assert (reading.device, reading.memory_used_bytes) == ("cuda:0", 5 * GIB)
    assert (reading.utilization_percent, reading.temperature_c, reading.power_w) == (37.0, 34.0, 71.5)
    [process] = reading.processes
    assert (process.pid, process.memory_bytes) == (os.getpid(), 4 * GIB)
    assert process.name


def test_a_process_that_computes_and_draws_counts_once_and_one_out_of_sight_has_no_name(
    nvml: FakeNvml,
) -> None:
    gone = 2**22 + 1
    nvml.say([Gpu("GPU-a", lines=["process 1 100", "graphics 1 100", f"process {gone} -1"])])

    [reading] = NvidiaAccelerators(MACHINE_BYTES).readings()

    assert [(process.pid, process.memory_bytes) for process in reading.processes] == [(1, 100), (gone, None)]
    assert reading.processes[1] == DeviceProcess(gone, "", None)


def test_the_parts_of_a_device_in_mig_mode_are_named(nvml: FakeNvml) -> None:
    parts = [
        "part MIG-1 10737418240 NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "process 1 100",
        "part MIG-2 42949672960 NVIDIA H100 80GB HBM3 MIG 3g.40gb",
        "process 2 200",
    ]
    nvml.say([Gpu("GPU-a", lines=parts), Gpu("GPU-b")])
    accelerators = NvidiaAccelerators(MACHINE_BYTES)

    first, second = accelerators.devices()

    assert first.parts == (
        DevicePart(uuid="MIG-1", name="NVIDIA H100 80GB HBM3 MIG 1g.10gb", memory_total_bytes=10 * GIB),
        DevicePart(uuid="MIG-2", name="NVIDIA H100 80GB HBM3 MIG 3g.40gb", memory_total_bytes=40 * GIB),
    )
    assert (second.uuid, second.parts) == ("GPU-b", ())
    held = accelerators.readings()[0].processes
    assert [(process.pid, process.memory_bytes) for process in held] == [(1, 100), (2, 200)]
    assert accelerators.readings()[0].utilization_percent is None


def test_a_device_without_memory_of_its_own_has_the_machines(nvml: FakeNvml) -> None:
    nvml.say([Gpu("GPU-a", name="NVIDIA GB10", capability="12 1", lines=["unified", "process 1 300"])])
    accelerators = NvidiaAccelerators(MACHINE_BYTES)

    [device] = accelerators.devices()

    assert device.is_unified_memory
    assert device.memory_total_bytes == MACHINE_BYTES
    assert accelerators.readings()[0].memory_used_bytes == 300


def test_a_device_that_is_lost_is_left_out_and_comes_back(nvml: FakeNvml) -> None:
    accelerators = NvidiaAccelerators(MACHINE_BYTES)
    nvml.say([Gpu("GPU-a", lines=["lost"]), Gpu("GPU-b")])
    assert [device.uuid for device in accelerators.devices()] == ["GPU-b"]
    assert [reading.device for reading in accelerators.readings()] == ["cuda:1"]

    nvml.say([Gpu("GPU-a"), Gpu("GPU-b")])

    assert [device.uuid for device in accelerators.devices()] == ["GPU-a", "GPU-b"]


def test_without_a_driver_there_is_no_device_until_it_is_loaded(nvml: FakeNvml) -> None:
    accelerators = NvidiaAccelerators(MACHINE_BYTES)
    assert accelerators.devices() == ()
    assert accelerators.readings() == ()

    nvml.say([Gpu("GPU-a")])

    assert len(accelerators.devices()) == 1


def test_two_may_look_at_once(nvml: FakeNvml) -> None:
    nvml.say([Gpu(f"GPU-{number}") for number in range(8)])
    accelerators = NvidiaAccelerators(MACHINE_BYTES)
    seen: list[int] = []

    def look() -> None:
        seen.extend(len(accelerators.devices()) for _ in range(20))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [8] * 80


def test_a_limit_that_is_not_told_is_left_open(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.say([Gpu("GPU-a", limit_milliwatts=0)])

    assert NvidiaAccelerators(MACHINE_BYTES).devices()[0].power_limit_w is None
