"""Backends that claim a share of each card and fill it with KV cache: what is needed, what is taken, what
fits."""

from collections.abc import Iterable
from dataclasses import dataclass

from modelyard_models.estimators.context import Context
from modelyard_models.estimators.hosts import hosts_of
from modelyard_models.estimators.parts import GIB, gib, margin_bytes, part
from modelyard_models.estimators.request import Request
from modelyard_models.fitting import Room, cache_tokens, concurrency, largest_context
from modelyard_models.kv_cache import Cache, token_bytes_of_model
from modelyard_models.layout import Device
from modelyard_models.model import LoadedModel
from modelyard_models.need import Confidence, DeviceNeed, HostNeed, MemoryNeed, Part
from modelyard_models.parallel import Parallel

ROUNDING = 0.001
"""Of a card: SGLang rounds its share to three digits."""
CPU_PROCESSES = 3
"""The server, its engine, and one that computes."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one device holds beside its KV cache."""

    inside: tuple[Part, ...]
    """What the share must have room for."""
    outside: tuple[Part, ...]
    """What is needed of the rest of the card."""
    cache: Cache
    context_bytes: int = 0
    """The runtime's own, never counted by the backend."""
    draft_token_bytes: float = 0.0

    @property
    def fixed(self) -> tuple[Part, ...]:
        return (*self.inside, *self.outside)

    def kv_bytes(self, tokens: int) -> float:
        return self.cache.sequence_bytes(tokens) + self.draft_token_bytes * tokens


@dataclass(frozen=True, slots=True)
class Server:
    """What the backend settled before it loads."""

    backend: str
    version: str
    fraction: float
    takes_share: bool
    """Else it takes what it needs: encoders keep no cache."""
    context: Context
    kv_element_bytes: float
    process_gib: float
    notes: tuple[str, ...] = ()

    def fitting(self, longest: int) -> int:
        """The length that is provided for: shortened to what fits, if that is allowed."""
        return min(self.context.tokens, max(longest, self.context.least))


def need_of(
    request: Request,
    model: LoadedModel,
    parallel: Parallel,
    server: Server,
    held: list[Held],
    sure: Confidence,
) -> MemoryNeed:
    """`held` by rank."""
    cards = request.layout.devices()[: parallel.world]
    alike = dict.fromkeys(zip(held, cards, strict=True))
    rooms = [_room(one, card, server, sure) for one, card in alike]
    longest = largest_context(rooms, model.shape.max_positions or server.context.tokens)
    context = server.fitting(longest)
    devices = [
        _device(rank, one, card, server, context, sure)
        for rank, (one, card) in enumerate(zip(held, cards, strict=True))
    ]
    lacks = _told_once(
        _lack(one, device, card, server) for one, device, card in zip(held, devices, cards, strict=True)
    )
    needed, claimed = [one.needed_bytes for one in devices], [one.claim_bytes for one in devices]
    keeps_cache = not model.shape.is_encoder_only
    return MemoryNeed(
        backend=server.backend,
        backend_version=server.version,
        confidence=sure,
        devices=tuple(devices),
        hosts=hosts_of(request, needed, claimed, server.process_gib),
        context_tokens=context,
        kv_bytes_per_token=token_bytes_of_model(model.shape, server.kv_element_bytes) if keeps_cache else 0,
        fraction=server.fraction if server.takes_share else None,
        fits=not lacks,
        largest_context=longest if cards else None,
        cache_tokens=cache_tokens(rooms, context) if keeps_cache and cards else None,
        concurrency=concurrency(rooms, context) if keeps_cache and cards else None,
        total_layers=len(model.shape.layers),
        notes=(*server.notes, *server.context.notes, *model.doubts, *lacks),
    )


def need_on_cpu(model: LoadedModel, server: Server, held: Held, sure: Confidence) -> MemoryNeed:
    """On a machine without devices everything is in main memory, whose size a layout does not tell."""
    tokens = server.context.least
    cache = part("kv_cache", held.kv_bytes(tokens), f"one sequence of {tokens} tokens")
    parts = (*held.inside, *([cache] if cache.bytes else []))
    processes = part("processes", CPU_PROCESSES * server.process_gib * GIB, f"{CPU_PROCESSES} processes")
    host = HostNeed(worker=0, parts=(*parts, processes), margin_bytes=margin_bytes(parts, sure))
    return MemoryNeed(
        backend=server.backend,
        backend_version=server.version,
        confidence=sure,
        devices=(),
        hosts=(host,),
        context_tokens=tokens,
        kv_bytes_per_token=held.cache.token_bytes,
        fits=True,
        total_layers=len(model.shape.layers),
        notes=(
            *server.notes,
            *server.context.notes,
            "without devices: whether main memory suffices is not known",
            *model.doubts,
        ),
    )


def _room(held: Held, card: Device, server: Server, sure: Confidence) -> Room:
    pool = card.memory_bytes * server.fraction - sum(one.bytes for one in held.inside)
    return Room(held.cache, pool, margin_bytes(held.fixed, sure), held.draft_token_bytes)


def _device(
    rank: int, held: Held, card: Device, server: Server, context: int, sure: Confidence
) -> DeviceNeed:
    cache = part("kv_cache", held.kv_bytes(context), f"one sequence of {context} tokens")
    parts = [*held.fixed, *([cache] if cache.bytes else [])]
    margin = margin_bytes(parts, sure)
    needed = sum(one.bytes for one in parts) + margin
    outside = sum(one.bytes for one in held.outside)
    return DeviceNeed(
        rank=rank,
        parts=tuple(parts),
        margin_bytes=margin,
        claim_bytes=int(card.memory_bytes * server.fraction) if server.takes_share else needed,
        beside_bytes=held.context_bytes + (outside if server.takes_share else 0),
        kv_bytes_per_token=held.cache.token_bytes + held.draft_token_bytes,
    )


def _lack(held: Held, need: DeviceNeed, card: Device, server: Server) -> str | None:
    """Why a device is too small; None if it is not."""
    outside = sum(one.bytes for one in held.outside) if server.takes_share else 0
    inside = need.needed_bytes - outside
    room = need.claim_bytes if server.takes_share else card.memory_bytes
    if inside > room:
        share = f"{server.fraction:g} of {gib(card.memory_bytes)}" if server.takes_share else "the device"
        only = "; without the margin it would fit" if inside - need.margin_bytes <= room else ""
        return f"{gib(inside)} are needed, and {share} is {gib(room)}{only}"
    free = card.memory_bytes if card.free_bytes is None else card.free_bytes
    taken = need.claim_bytes + need.beside_bytes
    if taken <= free + card.memory_bytes * ROUNDING:
        return None
    return f"{gib(taken)} would be taken, and {gib(free)} are free"


def _told_once(lacks: Iterable[str | None]) -> list[str]:
    """What devices lack, those that lack the same together."""
    ranks: dict[str, list[int]] = {}
    for rank, lack in enumerate(lacks):
        if lack is not None:
            ranks.setdefault(lack, []).append(rank)
    return [f"device {', '.join(map(str, found))}: {lack}" for lack, found in ranks.items()]
