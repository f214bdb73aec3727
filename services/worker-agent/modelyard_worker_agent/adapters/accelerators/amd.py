"""AMD devices, through what the kernel's amdgpu and amdkfd drivers tell in sysfs.

Devices are numbered as ROCm does: the nodes of the KFD topology that can compute, in order. Their memory is
told by DRM (`mem_info_*`), their processes by `kfd/proc/<pid>/vram_<gpu id>`.
"""

from dataclasses import dataclass
from pathlib import Path

from modelyard_contracts.inventory import GpuDevice

from modelyard_worker_agent.adapters.accelerators.reading import name_of, number_in, text_of
from modelyard_worker_agent.domain.telemetry import DeviceProcess, DeviceReading

KFD = "class/kfd/kfd"


@dataclass(frozen=True, slots=True)
class Node:
    """One that can compute. `device`: its directory of the PCI device, as DRM links it."""

    index: int
    gpu_id: int
    properties: dict[str, int]
    device: Path

    @property
    def is_apu(self) -> bool:
        """CPU and GPU in one: what counts as its memory is main memory."""
        return self.properties.get("cpu_cores_count", 0) > 0


class AmdAccelerators:
    """`sysfs`: where it is mounted."""

    def __init__(self, sysfs: Path, rocm: Path = Path("/opt/rocm")) -> None:
        self._sysfs = sysfs
        self._rocm = rocm

    def devices(self) -> tuple[GpuDevice, ...]:
        driver = text_of(self._sysfs / "module/amdgpu/version") or text_of(
            self._sysfs / "module/amdgpu/srcversion"
        )
        rocm = text_of(self._rocm / ".info/version")
        return tuple(self._device(node, driver, rocm) for node in self._nodes())

    def readings(self) -> tuple[DeviceReading, ...]:
        return tuple(self._reading(node) for node in self._nodes())

    def _nodes(self) -> list[Node]:
        found: list[Node] = []
        nodes = (self._sysfs / KFD / "topology/nodes").glob("*")
        for path in sorted(nodes, key=lambda path: int(path.name) if path.name.isdecimal() else -1):
            properties = _properties(path / "properties")
            if properties.get("simd_count", 0) == 0:
                continue
            render = f"renderD{properties.get('drm_render_minor', 0)}"
            device = self._sysfs / "class/drm" / render / "device"
            found.append(Node(len(found), number_in(path / "gpu_id") or 0, properties, device))
        return found

    def _device(self, node: Node, driver: str | None, rocm: str | None) -> GpuDevice:
        target = target_of(node.properties.get("gfx_target_version", 0))
        limit_uw = _first_number(node.device, "hwmon/hwmon*/power1_cap")
        unique = node.properties.get("unique_id", 0)
        return GpuDevice(
            vendor="amd",
            type="rocm",
            index=node.index,
            name=text_of(node.device / "product_name") or f"AMD {target}",
            uuid=f"GPU-{unique:016x}" if unique else f"GPU-{node.device.resolve().name}",
            memory_total_bytes=self._memory(node, "total"),
            is_unified_memory=node.is_apu,
            driver_version=driver,
            runtime_version=rocm.split("-")[0] if rocm else None,
            compute_capability=target,
            power_limit_w=None if limit_uw is None else round(limit_uw / 1e6),
        )

    def _reading(self, node: Node) -> DeviceReading:
        heat = _first_number(node.device, "hwmon/hwmon*/temp1_input")
        power = _first_number(node.device, "hwmon/hwmon*/power1_average")
        if power is None:
            power = _first_number(node.device, "hwmon/hwmon*/power1_input")
        busy = number_in(node.device / "gpu_busy_percent")
        return DeviceReading(
            device=f"rocm:{node.index}",
            memory_used_bytes=self._memory(node, "used"),
            processes=self._processes(node),
            utilization_percent=None if busy is None else float(busy),
            temperature_c=None if heat is None else heat / 1000,
            power_w=None if power is None else power / 1e6,
        )

    @staticmethod
    def _memory(node: Node, what: str) -> int:
        """An APU computes in what is carved out for it and in what it maps of main memory."""
        pools = ("vram", "gtt") if node.is_apu else ("vram",)
        return sum(number_in(node.device / f"mem_info_{pool}_{what}") or 0 for pool in pools)

    def _processes(self, node: Node) -> tuple[DeviceProcess, ...]:
        found = []
        for path in sorted((self._sysfs / KFD / "proc").glob(f"*/vram_{node.gpu_id}")):
            pid, held = int(path.parent.name), number_in(path)
            if held:
                found.append(DeviceProcess(pid, name_of(pid), held))
        return tuple(found)


def target_of(version: int) -> str:
    """LLVM's name of a target, of which minor and step are hexadecimal: 90402 is `gfx942`."""
    major, minor, step = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{step:x}"


def _properties(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in (text_of(path) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _first_number(directory: Path, pattern: str) -> int | None:
    return next((number for path in sorted(directory.glob(pattern)) if (number := number_in(path))), None)
