"""How many devices an instance takes: from the backend's parameters, from the operator, or found out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from modelyard_contracts.deployments import Backend
from modelyard_contracts.parameters import BadParameters, value_of
from modelyard_models.copies import Copies, sglang_copies, vllm_copies
from modelyard_models.flags import Flags

from modelyard_placement.demand import Demand
from modelyard_placement.selection import (
    Chosen,
    by_type,
    chosen_of,
    in_words,
    needs_equal_parts,
    suffices_unevenly,
)
from modelyard_placement.shards import dimensions, undivided

TENSOR = ("--tensor-parallel-size", "-tp", "--tp-size", "--tp")
PIPELINE = ("--pipeline-parallel-size", "-pp", "--pp-size", "--pp")
DATA = ("--data-parallel-size", "-dp", "--dp-size", "--dp")
PREFILL = ("--prefill-context-parallel-size", "-pcp")
LAYERS = ("-ngl", "--gpu-layers", "--n-gpu-layers")
MOST_WORKERS = 16


@dataclass(frozen=True, slots=True)
class Counts:
    world: int | None
    """So many devices in all; None: as few as suffice."""
    tensor: int | None
    """Devices that share each tensor, where the operator said so."""
    sizes: dict[str, int]
    """What tensors are cut along."""
    each: int | None = None
    """So many of each worker, where data-parallel copies are said to lie so; None: as it comes."""
    of_copy: int = 1
    """Devices of one data-parallel copy: a worker holds whole copies, or whole workers hold one."""
    equal_parts: str | None = None
    """Why a group of GPUs chosen by hand needs equally many of each worker; None if it does not."""
    may_be_equal: bool = True
    """GPUs chosen by hand can make a group of which workers have equally many."""
    may_be_uneven: bool = False
    """They may make one of which workers have unequally many."""

    def on_one_worker(self, most: int, *, any_count: bool) -> Iterator[int]:
        """The counts to try on a worker with `most` devices, the smallest first."""
        if self.world is not None:
            if self.world <= most and self.each in (None, self.world):
                yield self.world
            return
        count = 1
        while count <= most:
            if self.divides(count):
                yield count
            count = count + 1 if any_count else count * 2

    def divides(self, count: int) -> bool:
        return self.tensor is not None or undivided(self.sizes, count) is None

    def across(self, most: int) -> Iterator[tuple[int, int]]:
        """Devices of each worker, and workers: the fewest workers first, then the fewest devices."""
        if self.world is not None:
            for workers in range(2, min(self.world, MOST_WORKERS) + 1):
                each, rest = divmod(self.world, workers)
                if not rest and each <= most and self.can_be_each(each):
                    yield each, workers
            return
        powers = [2**n for n in range(most.bit_length()) if 2**n <= most and self.divides(2**n)]
        for workers in range(2, MOST_WORKERS + 1):
            for each in powers:
                yield each, workers

    def can_be_each(self, each: int) -> bool:
        if self.each not in (None, each) or (each % self.of_copy and self.of_copy % each):
            return False
        return self.world == self.tensor or self.divides(each)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What was asked for cannot be, wherever it is placed."""

    needed: int | str | None
    available: int | str | None
    message: str


def counts_of(demand: Demand) -> Counts | Contradiction:
    parallel = _parallel(demand)
    if isinstance(parallel, Contradiction):
        return parallel
    try:
        copies = _copies(demand.backend, demand.arguments) if demand.rules.shards else Copies()
    except BadParameters as error:
        return Contradiction(None, None, f"backend_parameters: {error}")
    sizes = dimensions(demand.model, demand.arguments) if demand.rules.shards else {}
    tensor = parallel.get("tensor")
    if tensor and (rest := undivided(sizes, tensor)):
        return Contradiction(tensor, rest, f"backend_parameters: {tensor} devices cannot share {rest} evenly")
    of_copy = tensor or 1
    for name in ("pipeline", "prefill"):
        of_copy *= parallel.get(name, 1)
    return _manual(demand, _counts(demand, Counts(None, tensor, sizes, of_copy=of_copy), parallel, copies))


def _parallel(demand: Demand) -> dict[str, int] | Contradiction:
    """The parallel sizes that the operator states, those that multiply to the world size."""
    if not demand.rules.shards:
        return {}
    found: dict[str, int] = {}
    for name, flags in (("tensor", TENSOR), ("pipeline", PIPELINE), ("data", DATA), ("prefill", PREFILL)):
        said = value_of(demand.arguments, *flags)
        if said is None:
            continue
        if not said.isdecimal() or int(said) < 1:
            message = f"backend_parameters: {flags[0]} must be a positive integer, not {said!r}"
            return Contradiction(None, said, message)
        found[name] = int(said)
    return found


@lru_cache(maxsize=1024)  # asked of every instance of a deployment
def _copies(backend: str, arguments: tuple[str, ...]) -> Copies:
    """Raises `BadParameters`."""
    match backend:
        case Backend.VLLM:
            return vllm_copies(Flags(arguments))
        case Backend.SGLANG:
            return sglang_copies(Flags(arguments))
        case _:
            count = int(value_of(arguments, *DATA) or 1)
            return Copies(count, count)


def _counts(demand: Demand, counts: Counts, parallel: dict[str, int], copies: Copies) -> Counts:
    """With the world size, where the parameters say one."""
    if demand.gpu_ids:
        counts = replace(counts, equal_parts=needs_equal_parts(demand, copies.here))
    if not parallel:
        return counts
    each = counts.of_copy * copies.on_each if copies.on_each else None
    return replace(counts, world=counts.of_copy * copies.here, each=each)


def _manual(demand: Demand, counts: Counts) -> Counts | Contradiction:
    """What the GPU selector says besides."""
    selector = demand.spec.gpu_selector
    wanted = selector.gpus_per_replica if selector else None
    chosen = len(demand.gpu_ids)
    world = counts.world
    if world and wanted and world != wanted:
        told = f"backend_parameters ask for {world} GPUs, gpu_selector.gpus_per_replica for {wanted}"
        return Contradiction(world, wanted, f"{told}: make them equal, or leave one out")
    count = wanted or world
    if chosen and count and count > chosen:
        said = "gpu_selector.gpus_per_replica asks" if wanted else "backend_parameters ask"
        return Contradiction(
            count, chosen, f"{said} for {count} GPUs, gpu_selector.gpu_ids has only {chosen}"
        )
    if chosen and count is None:
        count = _automatic(demand, counts, chosen)
    return _allowed(demand, replace(counts, world=count), said_by_operator=bool(wanted))


def _automatic(demand: Demand, counts: Counts, chosen: int) -> int:
    """The largest power of two that each replica can have of the chosen GPUs."""
    share = max(1, chosen // max(1, demand.replicas))
    share = min(share, demand.rules.most_devices or share)
    powers = [2**n for n in range(share.bit_length()) if counts.divides(2**n)]
    of = chosen_of(demand)
    return max((count for count in powers if _can_be_equal(of, demand, counts, count)), default=1)


def _allowed(demand: Demand, counts: Counts, *, said_by_operator: bool) -> Counts | Contradiction:
    world, most = counts.world, demand.rules.most_devices
    if world and most and world > most:
        return Contradiction(world, most, f"{demand.backend} runs on {most} GPU, {world} are asked for")
    if world and counts.each and counts.each < world and not demand.may_span:
        workers = world // counts.each
        told = f"backend_parameters: --data-parallel-size-local wants {workers} workers"
        return Contradiction(workers, 1, f"{told}, distributed_inference_across_workers allows one")
    if demand.gpu_ids and demand.rules.partly_on_cpu and value_of(demand.arguments, *LAYERS) == "0":
        return Contradiction(None, 0, f"backend_parameters: {LAYERS[1]} 0 uses none of gpu_selector.gpu_ids")
    if demand.gpu_ids and world:
        return _of_selection(demand, counts, world, said_by_operator=said_by_operator)
    return _divided(counts, world) if said_by_operator and world else counts


def _of_selection(
    demand: Demand, counts: Counts, world: int, *, said_by_operator: bool
) -> Counts | Contradiction:
    chosen = chosen_of(demand)
    uneven = counts.equal_parts is None and world > 1 and suffices_unevenly(chosen, world)
    counts = replace(counts, may_be_uneven=uneven)
    if _can_be_equal(chosen, demand, counts, world):
        return _divided(counts, world) if said_by_operator else counts
    if uneven:
        return replace(counts, may_be_equal=False)
    has, of = in_words(chosen), counts.equal_parts or "of one worker or of several"
    told = f"gpu_selector.gpu_ids: {world} GPUs of one type, {of}, cannot be made of {has}"
    return Contradiction(world, has, told)


def _divided(counts: Counts, world: int) -> Counts | Contradiction:
    if counts.tensor is None and (rest := undivided(counts.sizes, world)):
        message = f"gpu_selector.gpus_per_replica: {world} GPUs cannot share {rest} evenly"
        return Contradiction(world, rest, message)
    return counts


def _can_be_equal(chosen: Chosen, demand: Demand, counts: Counts, world: int) -> bool:
    """Of equally many on one worker, or on each of several."""
    if counts.each in (None, world) and max(by_type(chosen, world).values(), default=0):
        return True
    counts = replace(counts, world=world)
    for workers in range(2, world + 1 if demand.may_span else 0):
        each, rest = divmod(world, workers)
        enough = max(by_type(chosen, each).values(), default=0) >= workers
        if not rest and enough and counts.can_be_each(each):
            return True
    return False
