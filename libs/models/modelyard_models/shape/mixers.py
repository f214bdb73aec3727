"""The token mixer of a layer, by its kind."""

from modelyard_models.shape.kinds import Kind, has_latent_attention, window_of
from modelyard_models.shape.layers import Attention, LatentAttention, LinearAttention, Mixer, StateSpace
from modelyard_models.shape.reading import Config, flag, integer, items, section
from modelyard_models.shape.traits import Traits


def mixer_of(config: Config, traits: Traits, kind: Kind, layer: int) -> Mixer | None:
    match kind:
        case Kind.FULL if has_latent_attention(config):
            return _latent(config)
        case Kind.FULL | Kind.WINDOW:
            return _attention(config, traits, kind, layer)
        case Kind.LINEAR:
            return LinearAttention(
                integer(config, "linear_num_key_heads") or 1,
                integer(config, "linear_num_value_heads") or 1,
                integer(config, "linear_key_head_dim") or 128,
                integer(config, "linear_value_head_dim") or 128,
                integer(config, "linear_conv_kernel_dim") or 4,
            )
        case Kind.STATE_SPACE:
            return StateSpace(
                integer(config, "mamba_num_heads", "mamba_n_heads") or 1,
                integer(config, "mamba_head_dim", "mamba_d_head") or 64,
                integer(config, "ssm_state_size", "mamba_d_state", "state_size") or 128,
                integer(config, "n_groups", "mamba_n_groups") or 8,
                integer(config, "conv_kernel", "mamba_d_conv") or 4,
            )
        case Kind.DENSE_ONLY | Kind.EXPERTS_ONLY:
            return None


def heads_of(config: Config) -> int:
    return integer(config, "num_attention_heads", "n_head", "n_heads", "num_heads") or 1


def kv_heads_of(config: Config) -> int | None:
    """None: the config does not say, so there are as many as query heads."""
    if flag(config, "multi_query") and not flag(config, "new_decoder_architecture"):
        return 1
    if flag(config, "multi_query_attention"):
        return integer(config, "multi_query_group_num")
    return integer(config, "num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv")


def head_dim_of(config: Config, hidden: int) -> int:
    return integer(config, "head_dim", "kv_channels", "attention_head_dim") or max(
        1, hidden // heads_of(config)
    )


def _latent(config: Config) -> LatentAttention:
    index_dim = integer(config, "index_head_dim") or 0
    return LatentAttention(
        heads_of(config),
        integer(config, "q_lora_rank"),
        integer(config, "kv_lora_rank") or 512,
        integer(config, "qk_nope_head_dim") or 128,
        integer(config, "qk_rope_head_dim") or 64,
        integer(config, "v_head_dim") or 128,
        (integer(config, "index_n_heads") or max(1, heads_of(config) // 2)) if index_dim else 0,
        index_dim,
    )


def _attention(config: Config, traits: Traits, kind: Kind, layer: int) -> Attention:
    hidden = integer(config, "hidden_size", "d_model", "n_embd") or 1
    heads, kv_heads, head_dim = heads_of(config), kv_heads_of(config), head_dim_of(config, hidden)
    if kind is Kind.WINDOW:
        heads = integer(config, "swa_num_attention_heads") or heads
        kv_heads = integer(config, "swa_num_key_value_heads") or kv_heads
        head_dim = integer(config, "swa_head_dim") or head_dim
    else:
        kv_heads = integer(config, "num_global_key_value_heads") or kv_heads
        head_dim = integer(config, "global_head_dim") or head_dim
    own = _heads_in_group(config, layer)
    kv_heads = heads // own if own else kv_heads
    return Attention(
        heads,
        min(kv_heads or heads, heads),
        head_dim,
        integer(config, "v_head_dim") or head_dim,
        window_of(config, traits) if kind is Kind.WINDOW else None,
        traits.bias or flag(config, "attention_bias") or flag(config, "add_qkv_bias"),
        traits.output_bias,
        traits.head_norm or flag(config, "use_qk_norm"),
        traits.gate or flag(config, "attn_output_gate"),
    )


def _heads_in_group(config: Config, layer: int) -> int | None:
    """Query heads per KV head of this layer, in models whose layers were searched one by one."""
    blocks = items(config, "block_configs")
    block = blocks[layer] if layer < len(blocks) and isinstance(blocks[layer], dict) else {}
    return integer(section(block, "attention"), "n_heads_in_group")
