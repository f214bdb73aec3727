"""On directories as the amdgpu and amdkfd drivers show them in sysfs."""

from pathlib import Path

import pytest
from modelyard_worker_agent.adapters.accelerators.amd import AmdAccelerators, target_of

GIB = 2**30


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def node(sysfs: Path, number: int, **properties: int) -> None:
    directory = sysfs / "class/kfd/kfd/topology/nodes" / str(number)
    write(directory / "properties", "\n".join(f"{name} {value}" for name, value in properties.items()))
    write(directory / "gpu_id", properties.get("gpu_id", 0))


def card(sysfs: Path, minor: int, *, vram: int, used: int, gtt: int = 0) -> Path:
    device = sysfs / f"class/drm/renderD{minor}/device"
    write(device / "mem_info_vram_total", vram)
    write(device / "mem_info_vram_used", used)
    write(device / "mem_info_gtt_total", gtt)
    write(device / "mem_info_gtt_used", 0)
    write(device / "gpu_busy_percent", 12)
    write(device / "hwmon/hwmon4/temp1_input", 45000)
    return device


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """A host with two Instinct cards, of which the second computes."""
    sysfs = tmp_path / "sys"
    node(sysfs, 0, cpu_cores_count=96, simd_count=0, gfx_target_version=0)
    for number, minor in ((1, 128), (10, 136)):
        node(
            sysfs,
            number,
            cpu_cores_count=0,
            simd_count=1216,
            gfx_target_version=90402,
            drm_render_minor=minor,
            unique_id=0xABC0 + number,
            gpu_id=51000 + number,
        )
        device = card(sysfs, minor, vram=192 * GIB, used=number * GIB)
        write(device / "product_name", "AMD Instinct MI300X OAM")
        write(device / "hwmon/hwmon4/power1_average", 141_000_000)
        write(device / "hwmon/hwmon4/power1_cap", 750_000_000)
    write(sysfs / "class/kfd/kfd/proc/4711/vram_51010", 9 * GIB)
    write(sysfs / "class/kfd/kfd/proc/4711/vram_51001", 0)
    write(sysfs / "module/amdgpu/version", "6.12.12")
    write(tmp_path / "rocm/.info/version", "7.0.1-42")
    return sysfs


def test_devices_are_numbered_as_rocm_does(sysfs: Path) -> None:
    first, second = AmdAccelerators(sysfs, sysfs.parent / "rocm").devices()

    assert (first.vendor, first.key, first.name) == ("amd", "rocm:0", "AMD Instinct MI300X OAM")
    assert (first.memory_total_bytes, first.is_unified_memory) == (192 * GIB, False)
    assert (first.driver_version, first.runtime_version) == ("6.12.12", "7.0.1")
    assert (first.compute_capability, first.power_limit_w) == ("gfx942", 750)
    assert (second.key, second.uuid) == ("rocm:1", "GPU-000000000000abca")


def test_a_device_says_how_busy_it_is(sysfs: Path) -> None:
    idle, busy = AmdAccelerators(sysfs).readings()

    assert (idle.device, idle.memory_used_bytes, idle.processes) == ("rocm:0", GIB, ())
    assert (busy.utilization_percent, busy.temperature_c, busy.power_w) == (12.0, 45.0, 141.0)
    assert [(process.pid, process.memory_bytes) for process in busy.processes] == [(4711, 9 * GIB)]


def test_cpu_and_gpu_in_one_share_the_memory(tmp_path: Path) -> None:
    node(tmp_path, 0, cpu_cores_count=32, simd_count=80, gfx_target_version=110501, drm_render_minor=128)
    card(tmp_path, 128, vram=GIB, used=GIB // 2, gtt=96 * GIB)

    [device] = AmdAccelerators(tmp_path, tmp_path).devices()

    assert (device.name, device.compute_capability) == ("AMD gfx1151", "gfx1151")
    assert (device.is_unified_memory, device.memory_total_bytes) == (True, 97 * GIB)
    assert (device.driver_version, device.runtime_version, device.power_limit_w) == (None, None, None)


def test_without_the_driver_there_is_no_device(tmp_path: Path) -> None:
    assert AmdAccelerators(tmp_path).devices() == ()


def test_names_of_targets_count_in_hexadecimal() -> None:
    assert [target_of(version) for version in (90402, 90010, 90500, 110501, 120001)] == [
        "gfx942",
        "gfx90a",
        "gfx950",
        "gfx1151",
        "gfx1201",
    ]
