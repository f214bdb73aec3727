"""How far an image has come, from what the engine says of its layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MIB = 2**20


@dataclass
class PullProgress:
    _bytes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By layer: how many are here, of how many."""

    def take(self, told: Mapping[str, Any]) -> None:
        """One line of the engine's answer. Layers that were here before are not counted."""
        layer, detail = str(told.get("id", "")), told.get("progressDetail") or {}
        if told.get("status") == "Downloading" and detail.get("total"):
            self._bytes[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif told.get("status") == "Download complete" and layer in self._bytes:
            self._bytes[layer] = (self._bytes[layer][1],) * 2

    def text(self) -> str:
        """Empty before anything is known. The engine tells the size of a layer when it begins with it."""
        here, whole = (
            (sum(column) for column in zip(*self._bytes.values(), strict=True)) if self._bytes else (0, 0)
        )
        return f"{here / MIB:.0f} of {whole / MIB:.0f} MiB so far" if whole else ""
