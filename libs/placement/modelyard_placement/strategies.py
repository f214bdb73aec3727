"""The ways of placing, in the order in which they are tried: the first that finds a place wins."""

from collections.abc import Iterator
from typing import NamedTuple

from modelyard_placement.demand import Demand
from modelyard_placement.offload import in_main_memory, partly_offloaded, size_unknown
from modelyard_placement.one_worker import on_one_worker
from modelyard_placement.search import Found, Search
from modelyard_placement.several_workers import on_chosen_workers, on_several_workers


class Step(NamedTuple):
    strategy: str
    devices: int = 0
    """Of each worker."""
    workers: int = 1


def steps(search: Search) -> Iterator[Step]:
    demand = search.demand
    if demand.model is None and not demand.moved:
        yield Step("size_unknown")
        return
    yield from _on_devices(search)
    if demand.rules.partly_on_cpu and demand.spec.cpu_offloading and not demand.moved:
        yield Step("partial_offload")
    if may_use_ram(demand):
        yield Step("main_memory")


def take(search: Search, step: Step) -> list[Found]:
    """The best places, best first; none if this way finds no room."""
    match step.strategy:
        case "one_device" | "several_devices":
            return on_one_worker(search, step.devices)
        case "several_workers":
            return on_several_workers(search, step.devices, step.workers)
        case "uneven_workers":
            return on_chosen_workers(search)
        case "partial_offload":
            return partly_offloaded(search)
        case "main_memory":
            return in_main_memory(search)
        case _:
            return size_unknown(search)


def _on_devices(search: Search) -> Iterator[Step]:
    counts, demand = search.counts, search.demand
    if demand.moved:
        yield from _as_it_was(demand)
        return
    if counts.may_be_equal:
        yield from _equal(search)
    if counts.may_be_uneven:
        yield Step("uneven_workers", 1, counts.world or 1)


def _equal(search: Search) -> Iterator[Step]:
    counts, demand = search.counts, search.demand
    for count in counts.on_one_worker(_most_on_one_worker(search), any_count=demand.rules.splits_by_room):
        yield Step("one_device" if count == 1 else "several_devices", count)
    if not demand.may_span:
        return
    most = max(search.kinds.values(), default=0)
    for each, workers in counts.across(most):
        yield Step("several_workers", each, workers)


def _as_it_was(demand: Demand) -> Iterator[Step]:
    devices, workers = len(demand.moved[0].vram_bytes), len(demand.moved)
    if workers > 1:
        yield Step("several_workers", devices, workers)
    elif devices:
        yield Step("one_device" if devices == 1 else "several_devices", devices)


def _most_on_one_worker(search: Search) -> int:
    types = search.types()
    most = list(search.kinds.values())
    most += [most for device_type, most in search.rooms.mixed_types.items() if device_type in types]
    return min(max(most, default=0), search.demand.rules.most_devices or max(most, default=0))


def may_use_ram(demand: Demand) -> bool:
    if demand.moved:
        return not any(part.vram_bytes for part in demand.moved)
    return demand.rules.on_cpu and not demand.gpu_ids
