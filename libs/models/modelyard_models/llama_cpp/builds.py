"""Coefficients that belong to a build of llama.cpp: `builds.toml`, read once."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Build:
    name: str
    is_known: bool
    """Whether it is the one that the coefficients were measured with."""
    repack_types: tuple[str, ...]
    coefficients: dict[str, dict[str, float]]

    copies: dict[str, dict[str, int]]

    def cache_copies(self, architecture: str) -> int:
        """Of one layer's keys or values that a device holds when they lie on the host."""
        return self.copies["cache"].get(architecture, self.copies["cache"]["other"])

    def expert_copies(self, architecture: str) -> int:
        """Of matrices of experts that a device holds when they lie on the host."""
        return self.copies["experts"].get(architecture, self.copies["experts"]["other"])

    def of(self, kind: str, name: str) -> float:
        return self.coefficients[kind][name]


@cache
def build_of(version: str | None) -> Build:
    """The newest known for None; the nearest older one for a build that is not known."""
    table = tomllib.loads((files(__package__) / "builds.toml").read_text())["builds"]
    number = _number(version) if version else table[-1]["newest"]
    found = next((build for build in reversed(table) if build["first"] <= number), table[0])
    return Build(
        name=version or f"b{number}",
        is_known=number == found["newest"],
        repack_types=tuple(found["repack"]["types"]),
        coefficients={name: part for name, part in found.items() if isinstance(part, dict)},
        copies=found["copies"],
    )


def _number(version: str) -> int:
    """Of `b11434`, `11434`, or the last part of xllamacpp's `2026.10.11549`."""
    found = re.search(r"(\d{3,6})(?!.*\d)", version)
    return int(found.group(1)) if found else 0
