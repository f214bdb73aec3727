"""MindIE on Ascend: vLLM's formulas and a fixed footprint. No start was measured, so it is less certain."""

from typing import Any

from modelyard_models.activation import Activation, Batch, activation_bytes
from modelyard_models.estimators.confidence import at_most_medium, confidence_of
from modelyard_models.estimators.context import Context
from modelyard_models.estimators.parts import GIB, part
from modelyard_models.estimators.request import Request
from modelyard_models.estimators.shares import Held, Server, need_of
from modelyard_models.estimators.unknown import estimate_unknown
from modelyard_models.estimators.vllm import weights_part
from modelyard_models.kv_cache import cache_of
from modelyard_models.model import LoadedModel, loaded_model
from modelyard_models.need import HostNeed, MemoryNeed
from modelyard_models.parallel import FlagNames, Parallel, parallel_of
from modelyard_models.versions import coefficients

FLAG_NAMES = FlagNames(("--tensor-parallel-size",), ("--pipeline-parallel-size",), ("--data-parallel-size",))
BLOCK = 128
"""Tokens of a block of cache."""


def estimate_mindie(request: Request) -> MemoryNeed:
    request.require_devices("MindIE")
    version, rules = coefficients("mindie", request.version)
    model = loaded_model(request.facts, request.flags)
    parallel = parallel_of(request.flags, FLAG_NAMES, request.layout, model.shape if model else None)
    if model is None:
        return _with_cpu_cache(request, estimate_unknown(request, "MindIE", version, parallel, rules))
    context = _context(request, model, rules)
    server = Server(
        backend="MindIE",
        version=version,
        fraction=request.flags.share("--npu-memory-fraction") or rules["fraction"],
        takes_share=True,
        context=context,
        kv_element_bytes=2,
        process_gib=rules["host_gib_per_process"],
        notes=("no start of MindIE was measured: less certain",),
    )
    cards = request.layout.devices()[: parallel.world]
    held = [
        _held(request, model, parallel, parallel.stage(rank), rules, context.tokens)
        for rank, _ in enumerate(cards)
    ]
    sure = at_most_medium(confidence_of(request, model))
    return _with_cpu_cache(request, need_of(request, model, parallel, server, held, sure))


def _context(request: Request, model: LoadedModel, rules: dict[str, Any]) -> Context:
    wanted = request.flags.whole("--max-seq-len")
    if wanted is not None:
        return Context(wanted, wanted)
    own = model.shape.max_positions or rules["max_seq_len"]
    found = min(own, rules["max_seq_len"])
    return Context(found, found, (f"--max-seq-len is not set: {found} tokens",))


def _held(
    request: Request, model: LoadedModel, parallel: Parallel, stage: int, rules: dict[str, Any], context: int
) -> Held:
    tokens = request.flags.whole("--max-prefill-tokens") or rules["prefill_tokens"]
    none_sampled = Activation(sampler_bytes_per_logit=0, has_moe_workspace=True)
    activation = activation_bytes(model.shape, parallel, stage, Batch(tokens, 1, context), none_sampled)
    return Held(
        inside=(
            weights_part(request, model, parallel, stage, rules),
            part("activation", activation, f"{tokens} tokens at once"),
            part("context", rules["footprint_gib"] * GIB, "runtime, collectives and graphs"),
        ),
        outside=(),
        cache=cache_of(model.shape, parallel, stage, 2, BLOCK, tokens, is_paged_by_kind=False),
    )


def _with_cpu_cache(request: Request, need: MemoryNeed) -> MemoryNeed:
    """`--cpu-mem-size` GiB of swapped cache on every worker."""
    size = request.flags.number("--cpu-mem-size") or 0
    if not size:
        return need
    swapped = part("swapped_kv_cache", size * GIB, "--cpu-mem-size")
    hosts = tuple(
        HostNeed(worker=host.worker, parts=(*host.parts, swapped), margin_bytes=host.margin_bytes)
        for host in need.hosts
    )
    return need.model_copy(update={"hosts": hosts})
