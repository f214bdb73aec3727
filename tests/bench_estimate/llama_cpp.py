"""llama.cpp: breakdowns by its own planner, and the anonymous memory of real servers."""

from collections.abc import Iterable

from llama_cpp_rows import Breakdown, breakdowns, model_of, runs
from modelyard_models.estimate import estimate
from modelyard_models.need import Part

from bench_estimate.report import Comparison

BACKEND = "llama.cpp"
MIB = 1 << 20
WEIGHTS = ("weights", "repacked_weights")
PLANNED = (*WEIGHTS, "kv_cache", "compute")
"""What the planner's breakdown counts."""
ANONYMOUS = ("repacked_weights", "kv_cache", "compute", "output", "process")


def compare() -> list[Comparison]:
    random_flags = _planned(breakdowns("random_flags.json"), ", random flags")
    return [*_planned(breakdowns(), ""), *random_flags, *_servers()]


def _planned(rows: list[Breakdown], which: str) -> list[Comparison]:
    weights = Comparison(f"weights by device and host{which}", within=0.0)
    cache = Comparison(f"KV cache by device and host{which}", within=0.0)
    device = Comparison(f"device total{which}", within=0.03, share_within=0.97)
    device_safe = Comparison(f"device total with margin{which}", under_at_most=0.02)
    host = Comparison(f"host total{which}", within=0.03, share_within=0.97)
    host_safe = Comparison(f"host total with margin{which}", under_at_most=0.02)
    for row in rows:
        need = estimate(model_of(row.facts), BACKEND, None, row.arguments, row.layout)
        for rank, (found, said) in enumerate(zip(need.devices, row.devices, strict=True)):
            name = f"{row.name}: device {rank}"
            weights.add(name, _sum(found.parts, WEIGHTS), said.weights)
            cache.add(name, _sum(found.parts, ("kv_cache",)), said.context)
            device.add(name, _sum(found.parts, PLANNED), said.total)
            if said.total:
                device_safe.add(name, _sum(found.parts, PLANNED) + found.margin_bytes, said.total)
        parts, name = need.hosts[0].parts, f"{row.name}: host"
        weights.add(name, _sum(parts, WEIGHTS), row.host.weights)
        cache.add(name, _sum(parts, ("kv_cache",)), row.host.context)
        host.add(name, _sum(parts, PLANNED), row.host.total)
        host_safe.add(name, _sum(parts, PLANNED) + need.hosts[0].margin_bytes, row.host.total)
    return [weights, cache, device, device_safe, host, host_safe]


def _servers() -> list[Comparison]:
    device = Comparison("device total of a server", within=0.03, share_within=0.97, under_at_most=0.02)
    host = Comparison("host cache and buffers of a server", within=0.03, share_within=0.9)
    anonymous = Comparison("anonymous memory of a server on CPU", under_at_most=0.02)
    for run in runs():
        need = estimate(model_of(run.facts), BACKEND, None, run.arguments, run.layout)
        for rank, said in enumerate(run.devices_mib):
            device.add(f"{run.name}: {rank}", _sum(need.devices[rank].parts, PLANNED) / MIB, said)
        parts = need.hosts[0].parts
        host.add(run.name, _sum(parts, ("kv_cache", "compute", "output")) / MIB, run.host_mib)
        if not run.devices_mib:
            held = _sum(parts, ANONYMOUS if run.is_mapped else (*ANONYMOUS, "weights"))
            anonymous.add(run.name, held + need.hosts[0].margin_bytes, run.anonymous_bytes)
    return [device, host, anonymous]


def _sum(parts: Iterable[Part], names: tuple[str, ...]) -> int:
    return sum(part.bytes for part in parts if part.name in names)
