"""Backends that take what they need of one device, or of main memory where there is none."""

from dataclasses import dataclass

from modelyard_models.estimators.parts import gib, margin_bytes
from modelyard_models.estimators.request import Request
from modelyard_models.need import Confidence, DeviceNeed, HostNeed, MemoryNeed, Part


@dataclass(frozen=True, slots=True)
class Single:
    backend: str
    version: str
    confidence: Confidence
    parts: tuple[Part, ...]
    """Of the device."""
    host: tuple[Part, ...]
    """Of main memory, beside a device."""
    notes: tuple[str, ...] = ()
    devices: int = 1
    """Over how many devices the parts are divided."""


def need_of_single(request: Request, said: Single) -> MemoryNeed:
    cards = request.layout.devices()[: said.devices]
    if not cards:
        margin = margin_bytes(said.parts, said.confidence)
        return _need(said, (), (HostNeed(worker=0, parts=said.parts, margin_bytes=margin),), ())
    share = tuple(Part(name=one.name, bytes=one.bytes // len(cards), note=one.note) for one in said.parts)
    margin = margin_bytes(share, said.confidence)
    needed = sum(one.bytes for one in share) + margin
    devices = tuple(
        DeviceNeed(rank=rank, parts=share, margin_bytes=margin, claim_bytes=needed)
        for rank, _ in enumerate(cards)
    )
    frees = [card.memory_bytes if card.free_bytes is None else card.free_bytes for card in cards]
    lacks = tuple(
        f"device {rank}: {gib(needed)} are needed, and {gib(free)} are free"
        for rank, free in enumerate(frees)
        if needed > free
    )
    return _need(said, devices, (HostNeed(worker=0, parts=said.host),), lacks)


def _need(
    said: Single, devices: tuple[DeviceNeed, ...], hosts: tuple[HostNeed, ...], lacks: tuple[str, ...]
) -> MemoryNeed:
    return MemoryNeed(
        backend=said.backend,
        backend_version=said.version,
        confidence=said.confidence,
        devices=devices,
        hosts=hosts,
        context_tokens=0,
        fits=not lacks,
        notes=(*said.notes, *lacks),
    )
