"""vLLM: the parts of a start, the share of each card it claims, and what fits into that."""

from dataclasses import replace
from typing import Any

from modelyard_contracts.parameters import BadParameters

from modelyard_models.activation import activation_bytes
from modelyard_models.adapters import adapter_bytes
from modelyard_models.copies import vllm_copies
from modelyard_models.drafts import draft_of
from modelyard_models.estimators.confidence import at_most_medium, confidence_of
from modelyard_models.estimators.context import context_of
from modelyard_models.estimators.hosts import offloaded_bytes
from modelyard_models.estimators.parts import GIB, gib, part
from modelyard_models.estimators.request import Request
from modelyard_models.estimators.shares import Held, Server, need_of, need_on_cpu
from modelyard_models.estimators.unknown import estimate_unknown
from modelyard_models.estimators.vllm_settings import (
    FLAG_NAMES,
    Settings,
    is_pooling,
    non_torch_bytes,
    settings_of,
    with_experts,
)
from modelyard_models.kv_cache import cache_of
from modelyard_models.layout import Device
from modelyard_models.model import LoadedModel, loaded_model
from modelyard_models.need import MemoryNeed, Part
from modelyard_models.parallel import Parallel, parallel_of, splits_blocks
from modelyard_models.versions import coefficients
from modelyard_models.weights import absorbed_bytes, device_bytes, padding_bytes, rope_bytes

MAIN_MEMORY = Device("cpu", 0)
POOLING_BYTES = GIB // 2
"""Of models that answer with vectors, beside their layers' buffers."""


def estimate_vllm(request: Request) -> MemoryNeed:
    version, rules = coefficients("vllm", request.version)
    model = loaded_model(request.facts, request.flags)
    copies = vllm_copies(request.flags)
    shape = model.shape if model else None
    parallel = parallel_of(request.flags, FLAG_NAMES, request.layout, shape, copies.here)
    if model is None:
        return estimate_unknown(request, "vLLM", version, parallel, rules)
    parallel = with_experts(parallel, request.flags, copies.in_all)
    if reason := splits_blocks(model.shape, model.quantization, parallel):
        raise BadParameters(f"{FLAG_NAMES.tensor[0]}: {reason} (--enable-expert-parallel)")
    context = context_of(request, model.shape, "--max-model-len")
    settings = settings_of(request, rules, model.shape, context.tokens)
    server = Server(
        backend="vLLM",
        version=version,
        fraction=settings.fraction,
        takes_share=not model.shape.is_encoder_only,
        context=context,
        kv_element_bytes=settings.kv_element_bytes,
        process_gib=rules["host_gib_per_process"],
    )
    sure = confidence_of(request, model)
    if not request.layout.devices():
        alone = _held(request, model, Parallel(), replace(settings, is_eager=True), 0, MAIN_MEMORY)
        return need_on_cpu(model, server, alone, at_most_medium(sure))
    held = _by_rank(request, model, parallel, settings)
    return need_of(request, model, parallel, server, held, sure)


def _by_rank(request: Request, model: LoadedModel, parallel: Parallel, settings: Settings) -> list[Held]:
    """Ranks of a stage differ only in the card they are on."""
    found: dict[tuple[int, Device], Held] = {}
    ranks = []
    for rank, card in enumerate(request.layout.devices()[: parallel.world]):
        place = parallel.stage(rank), card
        if place not in found:
            found[place] = _held(request, model, parallel, settings, *place)
        ranks.append(found[place])
    return ranks


def _held(
    request: Request, model: LoadedModel, parallel: Parallel, settings: Settings, stage: int, card: Device
) -> Held:
    shape, flags, rules = model.shape, request.flags, settings.rules
    draft = draft_of(model, parallel, stage, request.beside.draft, flags, settings.kv_element_bytes)
    lora = adapter_bytes(model, parallel, stage, request.beside.adapters, flags)
    inside = [
        weights_part(request, model, parallel, stage, rules),
        _activation(request, model, parallel, stage, settings),
        part("non_torch", non_torch_bytes(rules, card, parallel), "collectives and libraries"),
    ]
    inside += [part("adapters", lora)] if lora else []
    inside += [part("draft", draft.weight_bytes, draft.note)] if draft.weight_bytes else []
    graphs = part(
        "graphs",
        settings.graph_bytes(card, parallel),
        "none: eager" if settings.is_eager else "captured batches",
    )
    is_counted = rules["graphs_in_share"]
    cache = cache_of(
        shape,
        parallel,
        stage,
        settings.kv_element_bytes,
        settings.block,
        settings.batch.tokens,
        rules["hybrid_cache"] and not flags.has("--disable-hybrid-kv-cache-manager"),
    )
    return Held(
        inside=(*inside, graphs) if is_counted else tuple(inside),
        outside=() if is_counted else (graphs,),
        cache=cache,
        context_bytes=int(rules["context_gib"] * GIB),
        draft_token_bytes=draft.token_bytes,
    )


def _activation(
    request: Request, model: LoadedModel, parallel: Parallel, stage: int, settings: Settings
) -> Part:
    batch, rules = settings.batch, settings.activation(model.quantization)
    if is_pooling(request) or model.shape.is_encoder_only:
        first_of_two = Parallel(parallel.tensor, 2)
        size = activation_bytes(model.shape, first_of_two, 0, batch, rules) + POOLING_BYTES
        return part("activation", size, f"{batch.tokens} tokens at once, nothing sampled")
    size = activation_bytes(model.shape, parallel, stage, batch, rules)
    return part("activation", size, f"{batch.tokens} tokens, {batch.sequences} sequences at once")


def weights_part(
    request: Request, model: LoadedModel, parallel: Parallel, stage: int, rules: dict[str, Any]
) -> Part:
    """As loaded: the checkpoint's share, and what the backend adds to it."""
    shape, stored = model.shape, model.quantization
    held = device_bytes(shape, stored, parallel, stage, model.checkpoint.scale)
    held = max(0.0, held - offloaded_bytes(request.flags))
    padding = padding_bytes(shape, stored, parallel, stage, rules["mxfp4"])
    added = rope_bytes(shape) + absorbed_bytes(shape, stage, parallel)
    notes = [stored.name if stored else f"{shape.bytes_per_weight * 8} bit"]
    notes += [f"{gib(padding)} of padding"] if padding else []
    return part("weights", held + padding + added, ", ".join(notes))
