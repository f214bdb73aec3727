"""Speculative decoding: what its drafts take of the last stage's devices."""

from dataclasses import dataclass

from modelyard_contracts.models import ModelFacts

from modelyard_models.flags import Flags
from modelyard_models.kv_cache import Cache, cache_of
from modelyard_models.model import LoadedModel, loaded_model
from modelyard_models.parallel import Parallel
from modelyard_models.weights import device_bytes, draft_bytes

MTP_METHODS = (
    "mtp",
    "deepseek_mtp",
    "ernie_mtp",
    "qwen3_next_mtp",
    "mimo_mtp",
    "glm4_moe_mtp",
    "EAGLE",
    "NEXTN",
)


@dataclass(frozen=True, slots=True)
class Draft:
    weight_bytes: float = 0.0
    token_bytes: float = 0.0
    """Of KV cache, for each token."""
    note: str = ""


NO_DRAFT = Draft()


def draft_of(
    model: LoadedModel, parallel: Parallel, stage: int, facts: ModelFacts | None, flags: Flags, element: float
) -> Draft:
    if stage != parallel.pipeline - 1:
        return NO_DRAFT
    if facts is not None:
        return _draft_model(facts, parallel, flags, element)
    said = flags.mapping("--speculative-config")
    method = str(said.get("method") or flags.text("--speculative-algorithm", "--speculative-algo") or "")
    if method not in MTP_METHODS or not model.shape.draft_layers:
        return NO_DRAFT
    last = _cache(model, parallel, element)
    each = last.layers[-1].token_bytes if last.layers else 0.0
    weights = draft_bytes(model.shape, model.quantization, parallel)
    return Draft(weights, model.shape.draft_layers * each, "the layers for multi-token prediction")


def _draft_model(facts: ModelFacts, parallel: Parallel, flags: Flags, element: float) -> Draft:
    own = flags.mapping("--speculative-config").get("draft_tensor_parallel_size")
    tensor = own if isinstance(own, int) and 0 < own <= parallel.tensor else parallel.tensor
    divided = Parallel(tensor, expert=tensor, attention_tensor=tensor)
    draft = loaded_model(facts, Flags(()))
    if draft is None:
        return Draft(facts.weight_bytes / tensor, 0.0, f"{facts.location}; its cache is not known")
    weights = device_bytes(draft.shape, draft.quantization, divided, 0, draft.checkpoint.scale)
    if not draft.is_known and facts.weight_bytes:
        weights = facts.weight_bytes / tensor
    return Draft(weights, _cache(draft, divided, element).token_bytes, facts.location)


def _cache(model: LoadedModel, parallel: Parallel, element: float) -> Cache:
    return cache_of(model.shape, parallel, parallel.pipeline - 1, element, 1, 1, is_paged_by_kind=False)
