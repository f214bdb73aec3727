"""A rough estimate for what the estimators do not know yet: files and a tenth, and the KV cache."""

from collections.abc import Sequence

from modelyard_contracts.deployments import Backend
from modelyard_contracts.models import ModelFacts
from modelyard_contracts.parameters import value_of
from modelyard_models.estimate import Beside
from modelyard_models.layout import Layout
from modelyard_models.need import Confidence, DeviceNeed, HostNeed, MemoryNeed, Part

OVERHEAD = 2 * 1024**3
FRACTIONS = {Backend.VLLM: 0.9, Backend.SGLANG: 0.88, Backend.MINDIE: 0.8}
FRACTION_FLAGS = ("--gpu-memory-utilization", "--mem-fraction-static", "--npu-memory-fraction")


def rough_estimate(
    model: ModelFacts,
    backend: str,
    version: str | None,
    parameters: Sequence[str],
    layout: Layout,
    beside: Beside,
) -> MemoryNeed:
    devices = layout.devices()
    weights = model.weight_bytes + sum(one.weight_bytes for one in (*beside.adapters, beside.draft) if one)
    context = int(value_of(parameters, "--max-model-len", "--context-length", "-c", "--ctx-size") or 8192)
    total = int(weights * 1.1) + context * _kv_bytes(model)
    said = value_of(parameters, *FRACTION_FLAGS)
    fraction = float(said) if said else FRACTIONS.get(Backend(backend)) if backend in FRACTIONS else None
    layers = (model.config or {}).get("num_hidden_layers", 32) if backend == Backend.LLAMA_CPP else None
    offloaded = layers if layout.offload_layers is None or layers is None else layout.offload_layers
    on_devices = total * (offloaded or 0) // layers if layers else total
    needs = []
    for rank, device in enumerate(devices):
        needed = on_devices // len(devices) + OVERHEAD // 2
        claim = int(device.memory_bytes * fraction) if fraction else needed
        parts = (Part(name="weights", bytes=needed),)
        needs.append(DeviceNeed(rank=rank, parts=parts, claim_bytes=claim))
    ram = OVERHEAD // 4 if devices else OVERHEAD // 4 + total
    if layers and devices:
        ram += total - on_devices
    hosts = tuple(
        HostNeed(worker=worker, parts=(Part(name="weights", bytes=ram),))
        for worker in range(len(layout.workers))
    )
    return MemoryNeed(
        backend=backend,
        backend_version=version or "",
        confidence=Confidence.LOW,
        devices=tuple(needs),
        hosts=hosts,
        context_tokens=context,
        fraction=fraction,
        fits=all(need.needed_bytes <= need.claim_bytes for need in needs),
        total_layers=layers,
        offloaded_layers=(offloaded if devices else 0) if layers else None,
    )


def _kv_bytes(model: ModelFacts) -> int:
    config = model.config or {}
    layers, heads = config.get("num_hidden_layers", 32), config.get("num_attention_heads", 32)
    size = config.get("head_dim") or config.get("hidden_size", 4096) // heads
    return int(2 * layers * config.get("num_key_value_heads", heads) * size * 2)
