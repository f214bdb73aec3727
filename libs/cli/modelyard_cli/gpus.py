"""Devices as a person writes them: `2xH100`, `80GiB`, `4xcuda:24GiB`, `cpu`."""

import re
from collections.abc import Sequence

from modelyard_models.cards import card_named, cards
from modelyard_models.layout import Device, Layout, WorkerLayout

from modelyard_cli.errors import UsageError

GIB = 1024**3
MOST_DEVICES = 1024
WRITTEN = re.compile(r"(?:(?P<count>\d{1,4})\s*[x*]\s*)?(?P<what>.+)")
SIZED = re.compile(r"(?:(?P<type>[a-z]+):)?(?P<size>\d+(?:\.\d+)?)\s*(?:gib|gb|g)", re.IGNORECASE)


def layout_of(workers: Sequence[str]) -> Layout:
    """One text for each worker. Raises `UsageError`."""
    return Layout(tuple(WorkerLayout(_devices(worker)) for worker in workers))


def _devices(text: str) -> tuple[Device, ...]:
    if text.strip().lower() in ("cpu", "none", "0"):
        return ()
    match = WRITTEN.fullmatch(text.strip())
    if match is None:
        raise _unknown(text)
    count = int(match["count"] or 1)
    if not 1 <= count <= MOST_DEVICES:
        raise UsageError(f"--gpus {text}: between 1 and {MOST_DEVICES} devices can be given.")
    return (_device(match["what"], text),) * count


def _device(what: str, text: str) -> Device:
    card = card_named(what)
    if card is not None:
        size = int(card.memory_gib * GIB)
        return Device(card.type, size, name=card.name, compute_capability=card.compute_capability)
    sized = SIZED.fullmatch(what)
    if sized is None:
        raise _unknown(text)
    size = int(float(sized["size"]) * GIB)
    if not 0 < size < 1 << 50:
        raise UsageError(f"--gpus {text}: {sized['size']} GiB is no size of a device.")
    return Device((sized["type"] or "cuda").lower(), size)


def _unknown(text: str) -> UsageError:
    known = ", ".join(card.name for card in cards())
    return UsageError(
        f"--gpus {text}: that device is not known.",
        hint=f"Give its memory, as in 2x80GiB or 4xrocm:64GiB, or one of: {known}.",
    )
