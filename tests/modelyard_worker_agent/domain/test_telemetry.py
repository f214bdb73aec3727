from datetime import UTC, datetime

from modelyard_worker_agent.domain.telemetry import (
    MOST_PROCESSES,
    DeviceProcess,
    DeviceReading,
    telemetry,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read(*processes: DeviceProcess, ours: set[int]) -> tuple[int, list[int]]:
    reading = DeviceReading("cuda:0", memory_used_bytes=1000, processes=processes)
    said = telemetry([reading], ours, read_at=NOW, cpu_percent=5.0, memory_used_bytes=7)
    return said.devices[0].foreign_bytes, [process.pid for process in said.devices[0].foreign]


def test_what_is_ours_is_not_foreign() -> None:
    assert read(DeviceProcess(1, "vllm", 300), DeviceProcess(2, "blender", 200), ours={1}) == (200, [2])


def test_the_largest_come_first_and_one_that_is_not_told_counts_nothing() -> None:
    processes = (DeviceProcess(1, "a", None), DeviceProcess(2, "b", 100), DeviceProcess(3, "c", 200))

    assert read(*processes, ours=set()) == (300, [3, 2, 1])


def test_all_count_though_only_some_are_named() -> None:
    many = [DeviceProcess(pid, "x", 10) for pid in range(MOST_PROCESSES + 5)]

    held, named = read(*many, ours=set())

    assert (held, len(named)) == (10 * (MOST_PROCESSES + 5), MOST_PROCESSES)
