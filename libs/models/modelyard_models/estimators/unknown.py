"""Models of which only the size of the files is known: a safe answer, and a low confidence."""

from typing import Any

from modelyard_models.estimators.context import UNKNOWN_CONTEXT
from modelyard_models.estimators.hosts import hosts_of
from modelyard_models.estimators.parts import GIB, gib, margin_bytes, part
from modelyard_models.estimators.request import Request
from modelyard_models.need import Confidence, DeviceNeed, HostNeed, MemoryNeed
from modelyard_models.parallel import Parallel

TOKEN_SHARE = 3e-5
"""KV cache of a token per byte of weights: Llama 2 7B, which has a head of its own for each query, and more
than all newer models have."""
BUFFERS_BYTES = 4 * GIB
"""Activations and graphs of the largest of usual starts."""


def estimate_unknown(
    request: Request, backend: str, version: str, parallel: Parallel, rules: dict[str, Any]
) -> MemoryNeed:
    size = request.facts.weight_bytes
    context = request.flags.whole("--max-model-len", "--context-length", "--maxSeqLen")
    context = context or request.facts.context_length or UNKNOWN_CONTEXT
    context = min(context, UNKNOWN_CONTEXT * 16)
    share = parallel.tensor * parallel.pipeline
    fraction = request.flags.share("--gpu-memory-utilization", "--mem-fraction-static") or rules["fraction"]
    devices = []
    for rank, card in enumerate(request.layout.devices()[: parallel.world]):
        parts = [
            part("weights", size / share, "the files divided evenly"),
            part("activation", BUFFERS_BYTES, "a guess"),
            part(
                "kv_cache", size * TOKEN_SHARE * context / share, f"one sequence of {context} tokens, a guess"
            ),
        ]
        devices.append(
            DeviceNeed(
                rank=rank,
                parts=tuple(parts),
                margin_bytes=margin_bytes(parts, Confidence.LOW),
                claim_bytes=int(card.memory_bytes * fraction),
                beside_bytes=int(rules.get("context_gib", 0) * GIB),
                kv_bytes_per_token=size * TOKEN_SHARE / share,
            )
        )
    if not devices:
        return _on_cpu(request, backend, version, context, rules)
    lacks = [] if size else ["neither the layers nor the size of the files are known"]
    lacks += [
        f"device {one.rank}: {gib(one.needed_bytes)} are needed of {gib(one.claim_bytes)}"
        for one in devices
        if one.needed_bytes > one.claim_bytes
    ]
    needed, claimed = [one.needed_bytes for one in devices], [one.claim_bytes for one in devices]
    return MemoryNeed(
        backend=backend,
        backend_version=version,
        confidence=Confidence.LOW,
        devices=tuple(devices),
        hosts=hosts_of(request, needed, claimed, rules["host_gib_per_process"]),
        context_tokens=context,
        kv_bytes_per_token=size * TOKEN_SHARE,
        fraction=fraction,
        fits=not lacks,
        notes=("the config describes no layers: a guess from the size of the files", *lacks),
    )


def _on_cpu(request: Request, backend: str, version: str, context: int, rules: dict[str, Any]) -> MemoryNeed:
    size = request.facts.weight_bytes
    parts = (
        part("weights", size, "the files"),
        part("kv_cache", size * TOKEN_SHARE * context, f"one sequence of {context} tokens, a guess"),
        part("processes", 3 * rules["host_gib_per_process"] * GIB),
    )
    host = HostNeed(worker=0, parts=parts, margin_bytes=margin_bytes(parts, Confidence.LOW))
    return MemoryNeed(
        backend=backend,
        backend_version=version,
        confidence=Confidence.LOW,
        devices=(),
        hosts=(host,),
        context_tokens=context,
        kv_bytes_per_token=size * TOKEN_SHARE,
        fits=True,
        notes=("the config describes no layers: a guess from the size of the files",),
    )
