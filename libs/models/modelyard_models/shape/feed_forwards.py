"""What follows the token mixer of a layer: a dense network, experts, both, or nothing."""

from modelyard_models.shape.kinds import Kind
from modelyard_models.shape.layers import Dense, Experts, FeedForward
from modelyard_models.shape.reading import Config, fraction, integer, items, section
from modelyard_models.shape.traits import Traits

EXPERT_COUNTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
ACTIVE_COUNTS = (
    "num_experts_per_tok",
    "experts_per_token",
    "top_k_experts",
    "moe_topk",
    "moe_k",
    "moe_top_k",
)


def feed_forward_of(config: Config, traits: Traits, kind: Kind, layer: int) -> tuple[FeedForward, ...]:
    experts = _experts(config, traits)
    dense = Dense(_width(config, layer), not traits.ungated)
    match kind:
        case Kind.DENSE_ONLY:
            return (dense,)
        case Kind.EXPERTS_ONLY:
            return (experts,) if experts else ()
        case _ if "hybrid_override_pattern" in config or "layers_block_type" in config:
            return ()
    if experts is None or not has_experts(config, layer):
        return (Dense(integer(config, "intermediate_size_mlp") or dense.width, dense.is_gated),)
    both = config.get("model_type") == "gemma4_text"
    return (dense, experts) if both else (experts,)


def experts_of(config: Config) -> int:
    count = integer(config, *EXPERT_COUNTS)
    return count if count and count > 1 else 0


def _experts(config: Config, traits: Traits) -> Experts | None:
    count = experts_of(config)
    if not count:
        return None
    width = integer(config, "moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size") or 1
    shared = integer(config, "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size")
    if shared is None:
        shared = (integer(config, "n_shared_experts", "num_shared_experts") or 0) * width
    if str(config.get("model_type")).startswith("llama4"):
        shared = width
    active = integer(config, *ACTIVE_COUNTS) or 1
    latent = integer(config, "moe_latent_size") or 0
    return Experts(count, min(active, count), width, shared, traits.expert_bias, not traits.ungated, latent)


def _width(config: Config, layer: int) -> int:
    blocks = items(config, "block_configs")
    block = blocks[layer] if layer < len(blocks) and isinstance(blocks[layer], dict) else {}
    ratio = fraction(section(block, "ffn"), "ffn_mult")
    hidden = integer(config, "hidden_size", "d_model", "n_embd") or 1
    if ratio:
        return -(-int(2 * ratio * hidden / 3) // 256) * 256
    names = ("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner", "decoder_ffn_dim")
    return integer(config, *names) or 4 * hidden


def has_experts(config: Config, layer: int) -> bool:
    if layer < (integer(config, "first_k_dense_replace") or 0) or layer in items(config, "mlp_only_layers"):
        return False
    each = items(config, "moe_layer_freq")
    if each:
        return layer >= len(each) or bool(each[layer])
    if str(config.get("model_type")).startswith("llama4"):
        step = integer(config, "interleave_moe_layer_step") or (2 if experts_of(config) == 128 else 1)
    else:
        step = integer(config, "decoder_sparse_step", "moe_layer_freq") or 1
    return (layer + 1) % step == 0
