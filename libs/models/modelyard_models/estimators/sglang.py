"""SGLang: weights and KV cache share a static part of each card; graphs and activations have the rest."""

from typing import Any

from modelyard_models.adapters import adapter_bytes
from modelyard_models.copies import sglang_copies
from modelyard_models.drafts import draft_of
from modelyard_models.estimators.confidence import confidence_of
from modelyard_models.estimators.context import context_of
from modelyard_models.estimators.parts import GIB, part
from modelyard_models.estimators.request import Request
from modelyard_models.estimators.shares import Held, Server, need_of
from modelyard_models.estimators.unknown import estimate_unknown
from modelyard_models.estimators.vllm import weights_part
from modelyard_models.estimators.vllm_settings import kv_element_bytes
from modelyard_models.flags import Flags
from modelyard_models.kv_cache import cache_of
from modelyard_models.layout import Device
from modelyard_models.model import LoadedModel, loaded_model
from modelyard_models.need import MemoryNeed
from modelyard_models.parallel import FlagNames, Parallel, parallel_of
from modelyard_models.shape.layers import Shape
from modelyard_models.versions import coefficients

FLAG_NAMES = FlagNames(
    ("--tp-size", "--tp", "--tensor-parallel-size"),
    ("--pp-size", "--pp", "--pipeline-parallel-size"),
    ("--dp-size", "--dp", "--data-parallel-size"),
)
MIB = 1024**2
VISION_SHARE = 0.95
"""Of the static part, for models with images; larger towers take more (sglang/srt/server_args.py)."""


def estimate_sglang(request: Request) -> MemoryNeed:
    request.require_devices("SGLang")
    version, rules = coefficients("sglang", request.version)
    model = loaded_model(request.facts, request.flags)
    parallel = _parallel(request, model.shape if model else None)
    if model is None:
        return estimate_unknown(request, "SGLang", version, parallel, rules)
    context = context_of(request, model.shape, "--context-length")
    element = kv_element_bytes(request.flags, model.shape)
    reserve = _reserve(request, rules, parallel)
    server = Server(
        backend="SGLang",
        version=version,
        fraction=_fraction(request, rules, model.shape, sum(reserve.values())),
        takes_share=not model.shape.is_encoder_only,
        context=context,
        kv_element_bytes=element,
        process_gib=rules["host_gib_per_process"],
    )
    cards = request.layout.devices()[: parallel.world]
    held = [
        _held(request, model, parallel, rules, element, parallel.stage(rank), reserve)
        for rank, _ in enumerate(cards)
    ]
    return need_of(request, model, parallel, server, held, confidence_of(request, model))


def _parallel(request: Request, shape: Shape | None) -> Parallel:
    """With data-parallel attention the copies of attention are inside of the tensor ranks."""
    flags = request.flags
    said = sglang_copies(flags)
    if not flags.has("--enable-dp-attention"):
        return _with_experts(parallel_of(flags, FLAG_NAMES, request.layout, shape, said.here), flags)
    own = FlagNames(FLAG_NAMES.tensor, FLAG_NAMES.pipeline, ("--no-copies",))
    found = parallel_of(flags, own, request.layout, None)
    copies = min(flags.whole(*FLAG_NAMES.data) or 1, found.tensor)
    divided = max(1, found.tensor // copies)
    return _with_experts(
        Parallel(found.tensor, found.pipeline, 1, expert=found.tensor, attention_tensor=divided), flags
    )


def _with_experts(parallel: Parallel, flags: Flags) -> Parallel:
    whole = (flags.whole("--ep-size", "--ep", "--expert-parallel-size") or 1) >= parallel.tensor > 1
    return Parallel(
        parallel.tensor,
        parallel.pipeline,
        parallel.data,
        expert=parallel.expert,
        has_whole_experts=whole,
        attention_tensor=parallel.attention_tensor,
    )


def _held(
    request: Request,
    model: LoadedModel,
    parallel: Parallel,
    rules: dict[str, Any],
    element: float,
    stage: int,
    reserve: dict[str, float],
) -> Held:
    flags = request.flags
    draft = draft_of(model, parallel, stage, request.beside.draft, flags, element)
    lora = adapter_bytes(model, parallel, stage, request.beside.adapters, flags)
    inside = [weights_part(request, model, parallel, stage, rules)]
    inside += [part("adapters", lora)] if lora else []
    inside += [part("draft", draft.weight_bytes, draft.note)] if draft.weight_bytes else []
    chunk = _batches(request, rules, parallel)[0]
    return Held(
        inside=tuple(inside),
        outside=tuple(part(name, size, "as SGLang reserves it") for name, size in reserve.items()),
        cache=cache_of(model.shape, parallel, stage, element, 1, chunk, is_paged_by_kind=True),
        draft_token_bytes=draft.token_bytes,
    )


def _batches(request: Request, rules: dict[str, Any], parallel: Parallel) -> tuple[int, int]:
    """Tokens of a chunk of prefill, and sequences of the largest captured batch."""
    device = request.smallest
    size = device.memory_bytes / GIB if device else 0
    row = next(row for row in rules["batches"] if size < row.get("below_gib", float("inf")))
    chunk = request.flags.whole("--chunked-prefill-size") or row["chunk"]
    graph = (
        request.flags.whole("--cuda-graph-max-bs") or row["graph_from_4" if parallel.tensor >= 4 else "graph"]
    )
    return chunk, graph


def _reserve(request: Request, rules: dict[str, Any], parallel: Parallel) -> dict[str, float]:
    """Bytes by part."""
    chunk, graph = _batches(request, rules, parallel)
    said, drafts = rules["reserve_mib"], rules["draft_mib"]
    algorithm = request.flags.text("--speculative-algorithm", "--speculative-algo")
    speculative = 0
    if algorithm and algorithm.upper() != "NGRAM":
        speculative = drafts["standalone" if algorithm.upper() == "STANDALONE" else "other"]
    is_eager = request.flags.has("--disable-cuda-graph")
    return {
        "activation": (said["chunk"] * max(chunk, 2048) + speculative) * MIB,
        "graphs": 0.0 if is_eager else said["graph"] * graph * MIB,
        "non_torch": (said["fixed"] + said["rank"] * parallel.tensor * parallel.pipeline) * MIB,
    }


def _fraction(request: Request, rules: dict[str, Any], shape: Shape, reserve: float) -> float:
    """`--mem-fraction-static`, else what SGLang works out from the smallest device."""
    given = request.flags.share("--mem-fraction-static")
    device: Device | None = request.smallest
    if given is not None or device is None:
        return given or float(rules["fraction"])
    said = rules["reserve_mib"]
    if device.memory_bytes > said["least_from_gib"] * GIB:
        reserve = max(reserve, said["least"] * MIB)
    found = max(0.1, (device.memory_bytes - reserve) / device.memory_bytes)
    return round(found * (VISION_SHARE if shape.encoder else 1.0), 3)
