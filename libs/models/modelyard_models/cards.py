"""What is known of accelerators by name: their memory as the driver reports it, and how they are linked."""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from modelyard_models.layout import Device

SOLD_AS = 0.12
"""What is reported of a card is so much less than what it is sold as, at most."""
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
    """Also with the size it is sold as behind its name: `H100-80G`."""
    wanted = _plain(name)
    exact = next((card for card in cards() if _plain(card.name) == wanted), None)
    sold = re.fullmatch(r"(.+)[- ](\d{1,3})(?:g|gb|gib)", name.strip().lower())
    if exact is not None or sold is None:
        return exact
    alike = (card for card in cards() if _plain(card.name) == _plain(sold[1]))
    return next((card for card in alike if abs(card.memory_gib / max(1, int(sold[2])) - 1) < SOLD_AS), None)


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
