"""What devices and the host need: a plan's parts by name, overheads and margins."""

from collections.abc import Sequence

from modelyard_models.layout import Device
from modelyard_models.llama_cpp.case import Case
from modelyard_models.llama_cpp.companions import Parts
from modelyard_models.llama_cpp.placement import HOST
from modelyard_models.llama_cpp.plan import Plan
from modelyard_models.need import Confidence, DeviceNeed, HostNeed, Part

DEVICE_MARGIN = 0.02
LEAST_DEVICE_MARGIN_BYTES = 16 << 20
HOST_MARGIN = 0.05
LEAST_HOST_MARGIN_BYTES = 16 << 20
"""What the process itself takes beyond llama.cpp's own: measured up to 12 MiB."""
UNSURE_MARGIN = 0.15
"""Of an architecture that llama.cpp b11434 does not know."""


def fits(needs: Sequence[DeviceNeed], devices: Sequence[Device]) -> bool:
    return all(need.needed_bytes <= free_bytes(devices[need.rank]) for need in needs)


def free_bytes(device: Device) -> int:
    return device.memory_bytes if device.free_bytes is None else device.free_bytes


def device_need(case: Case, planned: Plan, beside: Parts, rank: int) -> DeviceNeed:
    if rank not in planned.placement.devices:
        return DeviceNeed(rank=rank, parts=(), claim_bytes=0)
    layers = planned.placement.layers.count(rank)
    parts = [
        Part(name="weights", bytes=planned.weights.devices[rank], note=f"{layers} layers"),
        Part(name="kv_cache", bytes=planned.cache[rank], note=_cache_note(case)),
        Part(name="compute", bytes=planned.buffers.devices[rank]),
        *beside.get(rank, []),
    ]
    margin = _device_margin(case, sum(part.bytes for part in parts))
    parts.append(Part(name="context", bytes=_context_bytes(case, rank), note="taken by the driver"))
    return DeviceNeed(
        rank=rank,
        parts=tuple(part for part in parts if part.bytes),
        margin_bytes=margin,
        claim_bytes=sum(part.bytes for part in parts) + margin,
    )


def _device_margin(case: Case, size: int) -> int:
    share = UNSURE_MARGIN if case.confidence is Confidence.LOW else DEVICE_MARGIN
    return max(round(size * share), LEAST_DEVICE_MARGIN_BYTES)


def _context_bytes(case: Case, rank: int) -> int:
    kind = "cuda" if case.devices[rank].type == "cuda" else "other"
    return round(case.build.of("device", f"{kind}_context_bytes"))


def _cache_note(case: Case) -> str:
    flags = case.flags
    if flags.parallel == 1:
        slots = "one slot of"
    else:
        slots = f"{flags.parallel} slots " + ("that share" if flags.unified else "of")
    return f"{slots} {flags.context_per_sequence} tokens, {flags.cache_type_k}/{flags.cache_type_v}"


def host_need(case: Case, planned: Plan, beside: Parts) -> HostNeed:
    lying = planned.weights
    mapped = "file pages that stay in memory for speed" if case.flags.mmap else "read into memory"
    parts = [
        Part(name="weights", bytes=lying.host - lying.repacked, note=mapped),
        Part(name="repacked_weights", bytes=lying.repacked, note="a copy in the processor's own order"),
        Part(name="kv_cache", bytes=planned.cache[HOST]),
        Part(name="compute", bytes=planned.buffers.host),
        Part(
            name="output", bytes=4 * case.flags.parallel * case.shape.vocabulary, note="logits of each slot"
        ),
        Part(name="process", bytes=_process_bytes(case)),
        *beside.get(HOST, []),
    ]
    if case.flags.cache_ram_bytes:
        parts.append(Part(name="prompt_cache", bytes=case.flags.cache_ram_bytes, note="--cache-ram"))
    margin = max(round(sum(part.bytes for part in parts) * HOST_MARGIN), LEAST_HOST_MARGIN_BYTES)
    return HostNeed(worker=0, parts=tuple(part for part in parts if part.bytes), margin_bytes=margin)


def _process_bytes(case: Case) -> int:
    build = case.build
    per_entry = build.of("process", "bytes_per_vocabulary_entry")
    return round(build.of("process", "bytes") + per_entry * case.shape.vocabulary)
