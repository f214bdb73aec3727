"""An estimate by size: for backends that operators define, and for GGUF files whose header was not read.

Weights by their files and a tenth, the KV cache of one sequence by `config.json`, and an allowance for each
process and device.
"""

from collections.abc import Sequence

from modelyard_contracts.deployments import Backend
from modelyard_contracts.models import ModelFacts
from modelyard_contracts.parameters import value_of
from modelyard_models.estimate import ESTIMATORS, Beside, estimate
from modelyard_models.layout import Layout
from modelyard_models.need import Confidence, DeviceNeed, HostNeed, MemoryNeed, Part

GIB = 1024**3
OF_WEIGHTS = 1.1
OF_DEVICE_BYTES = GIB
OF_HOST_BYTES = GIB // 2
CONTEXT_TOKENS = 8192
CONTEXT_FLAGS = ("--max-model-len", "--context-length", "-c", "--ctx-size")
USUAL_LAYERS = 32


def estimate_any(
    model: ModelFacts,
    backend: str,
    version: str | None,
    parameters: Sequence[str],
    layout: Layout,
    beside: Beside,
) -> MemoryNeed:
    """As the backend's own estimator says, where there is one for what is known of the model."""
    is_unread = backend == Backend.LLAMA_CPP and model.gguf is None
    if backend not in ESTIMATORS or is_unread:
        return estimate_by_size(model, backend, version, parameters, layout, beside)
    return estimate(model, backend, version, parameters, layout, beside)


def estimate_by_size(
    model: ModelFacts,
    backend: str,
    version: str | None,
    parameters: Sequence[str],
    layout: Layout,
    beside: Beside,
) -> MemoryNeed:
    devices = layout.devices()
    context = _context(parameters)
    total = _weights(model, beside) + context * _kv_bytes(model)
    layers, offloaded = _layers(model, backend, layout)
    on_devices = total * offloaded // layers if devices else 0
    needs = tuple(_device(rank, on_devices // len(devices)) for rank in range(len(devices)))
    in_ram = (total - on_devices) // len(layout.workers)
    return MemoryNeed(
        backend=backend,
        backend_version=version or "",
        confidence=Confidence.LOW,
        devices=needs,
        hosts=tuple(_host(worker, in_ram) for worker in range(len(layout.workers))),
        context_tokens=context,
        kv_bytes_per_token=_kv_bytes(model),
        fits=all(
            need.claim_bytes <= device.memory_bytes for need, device in zip(needs, devices, strict=True)
        ),
        total_layers=layers if backend == Backend.LLAMA_CPP else None,
        offloaded_layers=offloaded if backend == Backend.LLAMA_CPP else None,
        notes=("only the size of the model's files is known",),
    )


def _device(rank: int, size_bytes: int) -> DeviceNeed:
    parts = (Part(name="weights", bytes=size_bytes), Part(name="compute", bytes=OF_DEVICE_BYTES))
    return DeviceNeed(rank=rank, parts=parts, claim_bytes=size_bytes + OF_DEVICE_BYTES)


def _host(worker: int, size_bytes: int) -> HostNeed:
    parts = (Part(name="weights", bytes=size_bytes), Part(name="process", bytes=OF_HOST_BYTES))
    return HostNeed(worker=worker, parts=parts)


def _weights(model: ModelFacts, beside: Beside) -> int:
    others = [*beside.adapters, *([beside.draft] if beside.draft else [])]
    return int((model.weight_bytes + sum(one.weight_bytes for one in others)) * OF_WEIGHTS)


def _context(parameters: Sequence[str]) -> int:
    said = value_of(parameters, *CONTEXT_FLAGS)
    return int(said) if said and said.isdecimal() and int(said) else CONTEXT_TOKENS


def _layers(model: ModelFacts, backend: str, layout: Layout) -> tuple[int, int]:
    """In all, and on devices; only llama.cpp deals them out."""
    if backend != Backend.LLAMA_CPP:
        return 1, 1
    layers = _whole(model, "num_hidden_layers") or USUAL_LAYERS
    if not layout.devices():
        return layers, 0
    return layers, layers if layout.offload_layers is None else min(layout.offload_layers, layers)


def _kv_bytes(model: ModelFacts) -> int:
    """Of a token, in 16 bit; 0 where `config.json` does not tell."""
    layers, heads = _whole(model, "num_hidden_layers"), _whole(model, "num_attention_heads")
    size = _whole(model, "head_dim") or (_whole(model, "hidden_size") // heads if heads else 0)
    return 4 * layers * (_whole(model, "num_key_value_heads") or heads) * size


def _whole(model: ModelFacts, name: str) -> int:
    found = (model.config or {}).get(name)
    return found if isinstance(found, int) and found > 0 else 0
