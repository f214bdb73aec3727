"""What llama.cpp knows of an architecture beside the header: `architectures.toml`, read once."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Sliding:
    period: int | None
    """One layer in so many sees everything."""
    window: int | None
    full_first: bool
    layers: int | None
    """Only models of so many layers slide."""


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "architectures.toml").read_text())


def is_listed(architecture: str, kind: str) -> bool:
    return architecture in _table()[kind]


def is_compared(architecture: str) -> bool:
    """Whether its estimates were compared with llama.cpp's own."""
    return architecture in _table()["compared"]["closely"]


def is_known(architecture: str) -> bool:
    """Whether llama.cpp runs it."""
    return is_compared(architecture) or architecture in _table()["compared"]["not"]


def full_attention_interval(architecture: str) -> int | None:
    found: int | None = _table()["hybrid_every"].get(architecture)
    return found


def kv_layers(architecture: str) -> int | None:
    found: int | None = _table()["kv_layers"].get(architecture)
    return found


def sliding(architecture: str) -> Sliding | None:
    found = _table()["sliding"].get(architecture)
    if found is None:
        return None
    return Sliding(
        period=found.get("period"),
        window=found.get("window"),
        full_first=found.get("full_first", False),
        layers=found.get("layers"),
    )
