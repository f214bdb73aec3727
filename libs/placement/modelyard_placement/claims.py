"""What an instance would take of the devices and the main memory of a place, as its backend takes it."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from modelyard_contracts.deployments import Backend, Claim
from modelyard_contracts.models import ModelFacts
from modelyard_contracts.parameters import BadParameters
from modelyard_models.estimate import Beside
from modelyard_models.layout import Device, Layout, WorkerLayout
from modelyard_models.need import DeviceNeed, MemoryNeed

from modelyard_placement.by_size import estimate_any
from modelyard_placement.demand import Demand
from modelyard_placement.picture import DeviceKind
from modelyard_placement.sizes import GIB

Estimator = Callable[[ModelFacts, str, str | None, Sequence[str], Layout, Beside], MemoryNeed]
T = TypeVar("T")
UNKNOWN_RAM_BYTES = 256 * 1024**2
"""Claimed of a worker while nothing is known of the model."""
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Share:
    """Of one device, by its rank."""

    claim_bytes: int
    asked_bytes: int
    """More than the claim: what the backend takes of such a card is too little for the model."""
    beside_bytes: int = 0
    """Taken beside the claim."""
    start_bytes: int = 0
    """Of that, what must be free, or the backend does not start."""

    @property
    def free_bytes(self) -> int:
        """How much must be free."""
        return max(self.asked_bytes, self.claim_bytes + self.start_bytes)

    def suffices(self, free_bytes: int) -> bool:
        return self.asked_bytes <= self.claim_bytes and self.free_bytes <= free_bytes


@dataclass(frozen=True, slots=True)
class Sized:
    shares: tuple[Share, ...]
    ram_bytes: tuple[int, ...]
    """By the position of the worker."""
    fits: bool = True
    """Whether such devices are large enough while nothing else is on them."""
    fraction: float | None = None
    total_layers: int | None = None
    offload_layers: int | None = None
    tensor_split: tuple[float, ...] = ()
    context_tokens: int | None = None

    def claim(self, devices: Sequence[str], first: int, worker: int, *, is_unified_memory: bool) -> Claim:
        """Of one worker, whose devices have the ranks from `first` on."""
        shares = self.shares[first : first + len(devices)]
        return Claim(
            ram_bytes=self.ram_bytes[worker],
            vram_bytes={device: share.claim_bytes for device, share in zip(devices, shares, strict=True)},
            is_unified_memory=is_unified_memory,
            fraction=self.fraction,
            total_layers=self.total_layers,
            offload_layers=self.offload_layers,
            tensor_split=self.tensor_split,
            context_tokens=self.context_tokens,
            beside_bytes={
                device: share.beside_bytes
                for device, share in zip(devices, shares, strict=True)
                if share.beside_bytes
            },
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Devices by their kinds, of one worker or of several alike, as far as an estimate looks at them."""

    kinds: tuple[DeviceKind, ...]
    """Of each worker."""
    workers: int = 1
    free_bytes: tuple[int, ...] | None = None
    """Of the devices of the one worker, where the backend deals out layers by room."""
    offload_layers: int | None = None
    is_unified_memory: bool = False
    parts: tuple[int, ...] = ()
    """Of a group whose workers have unequally many devices: how many each has. `kinds` are of all of them."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Devices of each worker."""
        return self.parts or (len(self.kinds),) * self.workers


class Sizer:
    """Estimates, remembered: the same model on the same kind of place needs the same."""

    def __init__(self, estimator: Estimator = estimate_any) -> None:
        self._estimator = estimator
        self._known: OrderedDict[tuple[str, Place], Sized | str] = OrderedDict()

    def size(self, demand: Demand, place: Place) -> Sized | str:
        """What it takes there; a text says which parameter contradicts the model or the place."""
        if demand.moved:
            return _as_it_is(demand.moved)
        if demand.model is None:
            return Sized(
                (Share(0, 0),) * (len(place.kinds) * place.workers), (UNKNOWN_RAM_BYTES,) * place.workers
            )
        key = (demand.key, place)
        found = self._known.get(key)
        if found is not None:
            return found
        found = self._estimated(demand, demand.model, place)
        self._known[key] = found
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _estimated(self, demand: Demand, model: ModelFacts, place: Place) -> Sized | str:
        beside = Beside(adapters=demand.adapters, draft=demand.draft)
        try:
            need = self._estimator(
                model,
                demand.backend,
                demand.spec.backend_version,
                demand.arguments,
                layout_of(place),
                beside,
            )
        except BadParameters as error:
            return str(error)
        return _sized(demand, place, need)


def layout_of(place: Place) -> Layout:
    frees: Sequence[int | None] = place.free_bytes or (None,) * len(place.kinds)
    devices = tuple(
        Device(
            type=kind.type,
            memory_bytes=kind.total_bytes,
            free_bytes=free,
            name=kind.name,
            compute_capability=kind.compute_capability,
        )
        for kind, free in zip(place.kinds, frees, strict=True)
    )
    if place.parts:
        return Layout(tuple(map(WorkerLayout, dealt_out(devices, place.parts))))
    worker = WorkerLayout(devices, place.is_unified_memory)
    return Layout((worker,) * place.workers, place.offload_layers)


def dealt_out(devices: Sequence[T], counts: Sequence[int]) -> list[tuple[T, ...]]:
    """The devices of a group, worker by worker."""
    ends = list(accumulate(counts))
    return [tuple(devices[end - count : end]) for end, count in zip(ends, counts, strict=True)]


def _sized(demand: Demand, place: Place, need: MemoryNeed) -> Sized:
    shares = _shares(demand.backend, need, place.kinds * place.workers)
    hosts = {host.worker: host.needed_bytes for host in need.hosts}
    each = len(place.kinds)
    rams = tuple(
        hosts.get(worker, 0) + _kv_cache_ram(demand, part)
        for worker, part in enumerate(dealt_out(shares, place.counts))
    )
    total = sum(share.claim_bytes for share in shares)
    split = demand.backend == Backend.LLAMA_CPP and each > 1 and total
    return Sized(
        shares=shares,
        ram_bytes=rams,
        fits=need.fits,
        fraction=need.fraction,
        total_layers=need.total_layers,
        offload_layers=need.offloaded_layers,
        tensor_split=tuple(round(share.claim_bytes / total, 4) for share in shares) if split else (),
        context_tokens=need.context_tokens or None,
    )


def _shares(backend: str, need: MemoryNeed, kinds: Sequence[DeviceKind]) -> tuple[Share, ...]:
    """By rank; nothing of devices that the backend leaves alone."""
    by_rank = {device.rank: device for device in need.devices}
    return tuple(
        _share(backend, by_rank.get(rank), kind.total_bytes, fits=need.fits)
        for rank, kind in enumerate(kinds)
    )


def _share(backend: str, device: DeviceNeed | None, total_bytes: int, *, fits: bool) -> Share:
    """vLLM measures what is free once its context is there, and refuses to start where its share is not
    (vllm/v1/worker/gpu_worker.py); SGLang makes do with what is free."""
    if device is None:
        return Share(0, 0)
    claim = device.claim_bytes
    beside = min(device.beside_bytes, max(0, total_bytes - claim))  # shares are rounded up
    if backend == Backend.VLLM and claim:
        beside = min(beside, _left_by_equal_shares(claim, total_bytes))
    if not fits:
        return Share(claim, max(claim + beside, device.needed_bytes), beside)
    return Share(claim, claim, beside, beside if backend == Backend.VLLM else 0)


def _left_by_equal_shares(claim: int, total_bytes: int) -> int:
    """For each, of a card that has as many of them as it holds: two halves have room on it, as their flags
    say, though their contexts have none beside them."""
    count = max(1, total_bytes // claim)
    return max(0, total_bytes - count * claim) // count


def _kv_cache_ram(demand: Demand, shares: Sequence[Share]) -> int:
    """Main memory of an extended KV cache on one worker: the size beats the ratio."""
    extended = demand.spec.extended_kv_cache
    if extended is None or not extended.enabled:
        return 0
    if extended.ram_size:
        return extended.ram_size * GIB
    return int(extended.ram_ratio * sum(share.claim_bytes for share in shares))


def _as_it_is(parts: Sequence[Claim]) -> Sized:
    first = parts[0]
    return Sized(
        shares=tuple(
            _as_it_was(part.vram_bytes[device], part.beside_bytes.get(device, 0))
            for part in parts
            for device in part.devices()
        ),
        ram_bytes=tuple(part.ram_bytes for part in parts),
        fraction=first.fraction,
        total_layers=first.total_layers,
        offload_layers=first.offload_layers,
        tensor_split=first.tensor_split,
        context_tokens=first.context_tokens,
    )


def _as_it_was(claim_bytes: int, beside_bytes: int) -> Share:
    return Share(claim_bytes, claim_bytes, beside_bytes, beside_bytes)
