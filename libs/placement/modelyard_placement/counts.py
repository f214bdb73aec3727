"""How many devices an instance takes: from the backend's parameters, from the operator, or found out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from modelyard_contracts.deployments import Backend
from modelyard_contracts.parameters import value_of

from modelyard_placement.demand import Demand
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

    def on_one_worker(self, most: int, *, any_count: bool) -> Iterator[int]:
        """The counts to try on a worker with `most` devices, the smallest first."""
        if self.world is not None:
            if self.world <= most:
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
                if not rest and each <= most and (self.world == self.tensor or self.divides(each)):
                    yield each, workers
            return
        powers = [2**n for n in range(most.bit_length()) if 2**n <= most and self.divides(2**n)]
        for workers in range(2, MOST_WORKERS + 1):
            for each in powers:
                yield each, workers


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
    sizes = dimensions(demand.model, demand.arguments) if demand.rules.shards else {}
    tensor = parallel.get("tensor")
    if tensor and (rest := undivided(sizes, tensor)):
        return Contradiction(tensor, rest, f"backend_parameters: {tensor} devices cannot share {rest} evenly")
    world = _world(demand, parallel)
    return _manual(demand, Counts(world, tensor, sizes))


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


def _world(demand: Demand, parallel: dict[str, int]) -> int | None:
    if not parallel:
        return None
    shared = demand.backend == Backend.SGLANG and "--enable-dp-attention" in demand.arguments
    data = 1 if shared else parallel.get("data", 1)
    return parallel.get("tensor", 1) * parallel.get("pipeline", 1) * parallel.get("prefill", 1) * data


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
    return _allowed(demand, Counts(count, counts.tensor, counts.sizes), said_by_operator=bool(wanted))


def _automatic(demand: Demand, counts: Counts, chosen: int) -> int:
    """The largest power of two that each replica can have of the chosen GPUs."""
    share = max(1, chosen // max(1, demand.replicas))
    share = min(share, demand.rules.most_devices or share)
    powers = [2**n for n in range(share.bit_length()) if counts.divides(2**n)]
    of = _chosen(demand)
    return max((count for count in powers if _can_be_made_of(of, demand, count)), default=1)


def _allowed(demand: Demand, counts: Counts, *, said_by_operator: bool) -> Counts | Contradiction:
    world, most = counts.world, demand.rules.most_devices
    if world and most and world > most:
        return Contradiction(world, most, f"{demand.backend} runs on {most} GPU, {world} are asked for")
    if demand.gpu_ids and demand.rules.partly_on_cpu and value_of(demand.arguments, *LAYERS) == "0":
        return Contradiction(None, 0, f"backend_parameters: {LAYERS[1]} 0 uses none of gpu_selector.gpu_ids")
    if demand.gpu_ids and world and (uneven := _uneven(demand, world)):
        return uneven
    if said_by_operator and world and counts.tensor is None and (rest := undivided(counts.sizes, world)):
        message = f"gpu_selector.gpus_per_replica: {world} GPUs cannot share {rest} evenly"
        return Contradiction(world, rest, message)
    return counts


def _uneven(demand: Demand, world: int) -> Contradiction | None:
    chosen = _chosen(demand)
    if _can_be_made_of(chosen, demand, world):
        return None
    has = ", ".join(f"{count} {place}" for place, count in sorted(chosen.items()))
    of = "equally many of each worker" if demand.may_span else "all of one worker"
    told = f"gpu_selector.gpu_ids: {world} GPUs of one type, {of}, cannot be made of {has}"
    return Contradiction(world, has, told)


def _chosen(demand: Demand) -> Counter[str]:
    """By worker and type."""
    return Counter(gpu_id.rpartition(":")[0] for gpu_id in demand.gpu_ids)


def _can_be_made_of(chosen: Counter[str], demand: Demand, world: int) -> bool:
    """Of equally many on one worker, or on each of several."""
    for workers in range(1, world + 1 if demand.may_span else 2):
        enough = Counter(place.rpartition(":")[2] for place, has in chosen.items() if has * workers >= world)
        if world % workers == 0 and max(enough.values(), default=0) >= workers:
            return True
    return False
