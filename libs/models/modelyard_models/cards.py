"""What is known of accelerators by name: their memory as the driver reports it, and how they are linked."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from modelyard_models.layout import Device

LINKED_FROM_BYTES = 70 * 1024**3
"""A card without a name that is as large as this is taken for one of a server with NVLink."""


@dataclass(frozen=True, slots=True)
class Card:
    name: str
    type: str
    memory_gib: float
    """As reported, which is less than what it is sold as."""
    is_linked: bool = False
    """By NVLink or its like, over which collectives keep large buffers."""
    compute_capability: str | None = None


def card_named(name: str) -> Card | None:
    wanted = _plain(name)
    return next((card for card in cards() if _plain(card.name) == wanted), None)


def is_linked(device: Device) -> bool:
    """Whether a device is linked directly to its neighbours, as far as its name and size tell."""
    name = _plain(device.name)
    if "pcie" in name:
        return False
    found = [card for card in cards() if name and _plain(card.name) in name]
    if found:
        return max(found, key=lambda card: len(card.name)).is_linked
    return not name and device.memory_bytes >= LINKED_FROM_BYTES


@cache
def cards() -> tuple[Card, ...]:
    text = files("modelyard_models").joinpath("data/cards.json").read_text(encoding="utf-8")
    return tuple(Card(**card) for card in json.loads(text)["cards"])


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace(" ", "").replace("_", "")
