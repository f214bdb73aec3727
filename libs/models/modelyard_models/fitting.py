"""What fits: the largest context, the tokens of cache, and the sequences at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard_models.kv_cache import Cache


@dataclass(frozen=True, slots=True)
class Room:
    """Of one device, for its KV cache."""

    cache: Cache
    pool_bytes: float
    """What is left for it; below zero where the rest does not fit."""
    margin_bytes: float
    draft_token_bytes: float = 0.0
    """Cache of a draft model, for each token."""

    def kv_bytes(self, tokens: int) -> float:
        return self.cache.sequence_bytes(tokens) + self.draft_token_bytes * tokens


def largest_context(rooms: Sequence[Room], limit: int) -> int:
    """The longest sequence that fits on every device, margin kept, up to `limit`; 0 if none does."""

    def fits(tokens: int) -> bool:
        return all(room.kv_bytes(tokens) <= room.pool_bytes - room.margin_bytes for room in rooms)

    if fits(limit):
        return limit
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low if low and fits(low) else 0


def cache_tokens(rooms: Sequence[Room], context: int) -> int:
    """As vLLM counts them: whole blocks of the scarcest device, or for layers of several kinds the sequences
    of `context` tokens that fit, times their length."""
    return min((_tokens(room, context) for room in rooms), default=0)


def concurrency(rooms: Sequence[Room], context: int) -> float:
    each = [
        max(0.0, room.pool_bytes) / needed if (needed := room.kv_bytes(context)) else 0.0 for room in rooms
    ]
    return round(min(each, default=0.0), 2)


def _tokens(room: Room, context: int) -> int:
    if room.pool_bytes <= 0:
        return 0
    if room.cache.is_uniform:
        each = room.cache.token_bytes + room.draft_token_bytes
        block = room.cache.block
        return int(room.pool_bytes / (each * block)) * block if each else 0
    needed = room.kv_bytes(context)
    return int(room.pool_bytes / needed * context) if needed else 0
