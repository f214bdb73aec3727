"""What an instance would take of the devices and the main memory of a place, as its backend takes it."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    """Must be free beside the claim, or the backend does not start."""

    @property
    def free_bytes(self) -> int:
        """How much must be free."""
        return max(self.asked_bytes, self.claim_bytes + self.beside_bytes)

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
    worker = WorkerLayout(devices, place.is_unified_memory)
    return Layout((worker,) * place.workers, place.offload_layers)


def _sized(demand: Demand, place: Place, need: MemoryNeed) -> Sized:
    shares = _shares(demand.backend, need, len(place.kinds) * place.workers)
    hosts = {host.worker: host.needed_bytes for host in need.hosts}
    each = len(place.kinds)
    rams = tuple(
        hosts.get(worker, 0) + _kv_cache_ram(demand, shares[worker * each : (worker + 1) * each])
        for worker in range(place.workers)
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


def _shares(backend: str, need: MemoryNeed, devices: int) -> tuple[Share, ...]:
    """By rank; nothing of devices that the backend leaves alone."""
    by_rank = {device.rank: device for device in need.devices}
    return tuple(_share(backend, by_rank.get(rank), fits=need.fits) for rank in range(devices))


def _share(backend: str, device: DeviceNeed | None, *, fits: bool) -> Share:
    """vLLM refuses to start where its share is not free once its context is there; SGLang makes do with what
    is free."""
    if device is None:
        return Share(0, 0)
    claim, beside = device.claim_bytes, device.beside_bytes
    if not fits:
        return Share(claim, max(claim + beside, device.needed_bytes))
    return Share(claim, claim, beside if backend == Backend.VLLM else 0)


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
            Share(part.vram_bytes[device], part.vram_bytes[device])
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
