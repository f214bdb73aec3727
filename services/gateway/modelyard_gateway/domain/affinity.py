"""Requests with something in common meet at one instance, as long as that one is not too busy.

Consistent hashing with bounded loads (V. Mirrokni, M. Thorup, M. Zadimoghaddam, 2016).
"""

import math
import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b

from modelyard_contracts.events import Affinity

from modelyard_gateway.domain.slot import Slot, Trust

POINTS = 32
"""Of an instance on the ring: the more, the more even are their shares."""
PREFIX_BYTES = 1024
"""Of a prompt's beginning; what follows may differ, as the turns of a conversation do."""
LOOKED_AT_BYTES = 64 * 1024

PROMPT = re.compile(rb'"(?:messages|prompt|input|system)"\s*:\s*').search
SESSION = re.compile(rb'"(?:prompt_cache_key|session_id|user|user_id)"\s*:\s*"([^"\\]{1,256})"').search


def affinity_key(kind: Affinity, session: bytes | None, body: bytes | bytearray) -> int | None:
    """What a request has in common with others; None if it says nothing. `session` is the header's."""
    if kind is Affinity.SESSION:
        found = SESSION(body, 0, LOOKED_AT_BYTES) if session is None else None
        text = session if found is None else found[1]
    else:
        prompt = PROMPT(body, 0, LOOKED_AT_BYTES)
        text = None if prompt is None else body[prompt.end() : prompt.end() + PREFIX_BYTES]
    return _hash(bytes(text)) if text else None


class Ring:
    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        points = sorted(
            (_hash(b"%b/%d" % (str(slot).encode(), n)), place)
            for place, slot in enumerate(slots)
            for n in range(POINTS)
        )
        self._points = [point for point, _ in points]
        self._places = [place for _, place in points]

    def find(self, key: int, tried: Collection[Slot], now: float, most: int, bound: float) -> Slot | None:
        """The first one behind the key that is well and has no more than `bound` times the mean load for
        its capacity."""
        running = sum(slot.in_flight for slot in self._slots)
        allowed = bound * (running + 1) / sum(slot.capacity for slot in self._slots)
        for slot in self._from(key):
            room = slot.in_flight < min(most, math.ceil(allowed * slot.capacity))
            if room and slot not in tried and slot.trust(now) is Trust.GOOD:
                return slot
        return None

    def home(self, key: int) -> Slot:
        return next(self._from(key))

    def _from(self, key: int) -> Iterator[Slot]:
        start, seen = bisect_left(self._points, key), set()
        for n in range(len(self._places)):
            place = self._places[(start + n) % len(self._places)]
            if place not in seen:
                seen.add(place)
                yield self._slots[place]


def _hash(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest())
