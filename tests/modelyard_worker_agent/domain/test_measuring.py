"""What of a device's processes counts as an instance's."""

from modelyard_worker_agent.domain.measuring import vram_held
from modelyard_worker_agent.domain.telemetry import DeviceProcess, DeviceReading


def reading(device: str, **sizes: int | None) -> DeviceReading:
    processes = tuple(DeviceProcess(int(pid[1:]), "server", size) for pid, size in sizes.items())
    return DeviceReading(device, memory_used_bytes=1000, processes=processes)


def test_only_its_own_processes_count_each_device_apart() -> None:
    readings = [reading("cuda:0", p1=10, p2=20, p9=500), reading("cuda:1", p2=7), reading("cuda:2", p9=1)]
    assert vram_held(readings, {1, 2}) == {"cuda:0": 30, "cuda:1": 7}


def test_a_device_whose_driver_does_not_tell_is_left_out() -> None:
    assert vram_held([reading("cuda:0", p1=10, p2=None)], {1, 2}) == {}
