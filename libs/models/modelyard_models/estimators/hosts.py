"""Main memory of the workers."""

from modelyard_models.estimators.parts import GIB, part
from modelyard_models.estimators.request import Request
from modelyard_models.flags import Flags
from modelyard_models.need import HostNeed, Part

LEAST_BYTES = 2 * GIB
SHARE_OF_DEVICES = 0.1
"""Of what is needed on a worker's devices: a floor, since no measurement is published."""


def hosts_of(
    request: Request, needed: list[int], claimed: list[int], process_gib: float
) -> tuple[HostNeed, ...]:
    """`needed` and `claimed` bytes by rank. Each device has a process, and the first worker two more."""
    hosts = []
    first = 0
    for position, worker in enumerate(request.layout.workers):
        ranks = range(first, min(first + len(worker.devices), len(needed)))
        first += len(worker.devices)
        if not ranks and worker.devices:
            continue
        processes = len(ranks) + (2 if position == 0 else 0)
        measured = processes * process_gib * GIB
        floor = max(LEAST_BYTES, SHARE_OF_DEVICES * sum(needed[rank] for rank in ranks))
        parts = [
            part("processes", max(measured, floor), f"{processes} processes; no measurement is published")
        ]
        parts += _offloaded(request.flags, len(ranks))
        parts += _extended(request, sum(claimed[rank] for rank in ranks))
        hosts.append(HostNeed(worker=position, parts=tuple(parts)))
    return tuple(hosts)


def offloaded_bytes(flags: Flags) -> float:
    """Weights that each device leaves in main memory."""
    return (flags.number("--cpu-offload-gb") or 0.0) * GIB


def _offloaded(flags: Flags, devices: int) -> list[Part]:
    size = offloaded_bytes(flags) * devices
    return [part("offloaded_weights", size, "--cpu-offload-gb")] if size else []


def _extended(request: Request, claimed: int) -> list[Part]:
    extended = request.beside.extended_kv_cache
    if extended is None or not extended.enabled:
        return []
    if extended.ram_size:
        return [part("extended_kv_cache", extended.ram_size * GIB, "as set")]
    ratio = f"{extended.ram_ratio:g} times the memory of the devices"
    return [part("extended_kv_cache", claimed * extended.ram_ratio, ratio)]
