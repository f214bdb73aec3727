"""NVIDIA devices for machines that have none: the real pynvml loads a small library of ours.

The system's loader looks for `libnvidia-ml.so.1` in LD_LIBRARY_PATH, which it reads when a process starts;
within a process, a library of that name which is loaded already is the one that it gives.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SONAME = "libnvidia-ml.so.1"
GIB = 2**30


@dataclass
class Gpu:
    uuid: str
    name: str = "NVIDIA H100 80GB HBM3"
    total: int = 80 * GIB
    used: int = 0
    busy: int = 0
    heat: int = 34
    milliwatts: int = 71_500
    limit_milliwatts: int = 700_000
    capability: str = "9 0"
    lines: list[str] = field(default_factory=list)
    """Further lines, as `nvml.c` describes them."""

    def text(self) -> str:
        numbers = f"{self.total} {self.used} {self.busy} {self.heat} {self.milliwatts}"
        first = f"gpu {self.uuid} {numbers} {self.limit_milliwatts} {self.capability} {self.name}"
        return "\n".join([first, *self.lines])


@dataclass
class FakeNvml:
    """`state` says what the devices are; it may be changed at any time, from any process."""

    directory: Path
    state: Path

    def say(self, gpus: Sequence[Gpu], driver: str = "driver 580.65.06 13000") -> None:
        temporary = self.state.with_suffix(".tmp")
        temporary.write_text("\n".join([driver, *(gpu.text() for gpu in gpus)]) + "\n")
        temporary.replace(self.state)

    def environment(self) -> dict[str, str]:
        """For a process that is to see these devices."""
        return {"LD_LIBRARY_PATH": str(self.directory), "FAKE_NVML": str(self.state)}

    def load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For this process. It stays loaded, but without a state it says that there is no driver."""
        ctypes.CDLL(str(self.directory / SONAME), mode=ctypes.RTLD_GLOBAL)
        os.environ.pop("FAKE_NVML", None)
        monkeypatch.setenv("FAKE_NVML", str(self.state))


def build(directory: Path) -> Path:
    """The directory with the library in it; skips where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is here to build the stand-in for NVML with")
    source = Path(__file__).parent / "nvml.c"
    library = directory / SONAME
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", f"-Wl,-soname,{SONAME}"]
    subprocess.run([compiler, *flags, "-o", str(library), str(source)], check=True)
    return directory
