"""How much of a deployment's load each of its instances can carry."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capacity:
    sequences: int | None = None
    """Requests that its model server computes at a time; None if that is not known."""
    devices: int = 1


UNKNOWN = Capacity()


def compared(known: Sequence[Capacity]) -> list[tuple[float, str]]:
    """Of each, its share of what the largest can carry, and what that is measured by; sequences only where
    all are known to have some."""
    if not known:
        return []
    counts = [one.sequences for one in known if one.sequences is not None]
    unit = "requests at a time"
    if len(counts) < len(known):
        counts, unit = [max(1, one.devices) for one in known], "devices"
    most = max(counts)
    return [(count / most, f"{unit}: {count}") for count in counts]
