"""GPUs chosen by hand: which groups can be made of them, by their numbers alone."""

from collections import Counter

from modelyard_contracts.deployments import Backend
from modelyard_contracts.parameters import value_of

from modelyard_placement.demand import Demand

EXECUTOR = "--distributed-executor-backend"
Chosen = Counter[str]
"""How many, by worker and type as in `a:cuda`."""


def chosen_of(demand: Demand) -> Chosen:
    return Counter(gpu_id.rpartition(":")[0] for gpu_id in demand.gpu_ids)


def by_type(chosen: Chosen, least: int = 1) -> Counter[str]:
    """How many workers have at least so many, by type."""
    return Counter(place.rpartition(":")[2] for place, has in chosen.items() if has >= least)


def suffices_unevenly(chosen: Chosen, world: int) -> bool:
    """Whether so many of one type are on several workers."""
    totals: Counter[str] = Counter()
    for place, has in chosen.items():
        totals[place.rpartition(":")[2]] += has
    workers = by_type(chosen)
    return any(total >= world and workers[kind] > 1 for kind, total in totals.items())


def needs_equal_parts(demand: Demand, copies: int) -> str | None:
    """Why the workers of a group must have equally many; None if they need not: Ray deals out vLLM's stages
    one by one. Multiprocessing and SGLang start as many processes on each node."""
    if not demand.may_span:
        return "all of one worker"
    if demand.backend != Backend.VLLM:
        return f"equally many of each worker, as {demand.backend} wants them"
    if value_of(demand.arguments, EXECUTOR) == "mp":
        return f"equally many of each worker, as {EXECUTOR}=mp wants them (ray does not)"
    if copies > 1:
        return "equally many of each worker, as copies of a model want them"
    return None


def in_words(chosen: Chosen) -> str:
    return ", ".join(f"{count} {place}" for place, count in sorted(chosen.items()))
