"""`shape_of`: from a `config.json` to the layers it describes. Never runs model code."""

from modelyard_models.shape.feed_forwards import feed_forward_of, has_experts
from modelyard_models.shape.kinds import Kind, has_latent_attention, kinds_of
from modelyard_models.shape.layers import Layer, Shape
from modelyard_models.shape.mixers import head_dim_of, kv_heads_of, mixer_of
from modelyard_models.shape.reading import Config, flag, fraction, integer, items, section, text, text_part
from modelyard_models.shape.towers import encoder_of, whisper_encoder
from modelyard_models.shape.traits import Traits, model_type_of, traits_of

MOST_LAYERS = 2000
PADDING_POSITIONS = 2
"""RoBERTa counts positions from behind the padding's."""
INCLUDED = ("", "default", "mrope", "longrope", "su", "llama3")
"""Kinds of rope scaling whose factor the named positions include already, or that has none."""


def shape_of(config: Config) -> Shape | None:
    """None where the config describes no transformer of known proportions."""
    part = text_part(config)
    hidden = integer(part, "hidden_size", "d_model", "n_embd")
    count = integer(part, "num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers")
    if count is None and (pattern := text(part, "hybrid_override_pattern")):
        count = len(pattern)
    count = count or len(items(part, "layers_block_type")) or None
    if hidden is None or count is None or count > MOST_LAYERS:
        return None
    part = {**part, "model_type": model_type_of(text(part, "model_type"), items(part, "architectures"))}
    traits = traits_of(text(part, "model_type"))
    kinds, doubt = kinds_of(part, traits, count)
    is_whisper = text(part, "model_type") == "whisper"
    return Shape(
        hidden=hidden,
        vocabulary=integer(part, "vocab_size", "padded_vocab_size") or 0,
        layers=_layers(part, traits, kinds),
        max_positions=max_positions_of(part),
        is_tied=is_tied(config, part, traits),
        is_encoder_only=traits.encoder,
        is_known=traits.is_known and doubt is None and not _doubts(part, traits, kinds),
        doubts=(*((doubt,) if doubt else ()), *_doubts(part, traits, kinds)),
        encoder=whisper_encoder(part, hidden) if is_whisper else encoder_of(config, hidden),
        draft_layers=integer(part, "num_nextn_predict_layers", "mtp_num_hidden_layers") or 0,
        cross_positions=(integer(part, "max_source_positions") or 1500) if is_whisper else 0,
        rope_dim=_rope_dim(part, traits, hidden),
        rope_caches=traits.rope_caches,
    )


def _layers(part: Config, traits: Traits, kinds: list[Kind]) -> tuple[Layer, ...]:
    """Layers that are alike are the same value."""
    is_searched = bool(items(part, "block_configs"))
    known: dict[tuple[Kind, bool, int], Layer] = {}
    layers = []
    for at, kind in enumerate(kinds):
        alike = kind, has_experts(part, at), at if is_searched else 0
        if alike not in known:
            mixer = mixer_of(part, traits, kind, at)
            known[alike] = Layer(mixer, feed_forward_of(part, traits, kind, at), traits.norms)
        layers.append(known[alike])
    return tuple(layers)


def is_tied(config: Config, part: Config, traits: Traits) -> bool:
    """Gemma, Whisper, Cohere and encoders share their embeddings unless they say otherwise."""
    shares = traits.encoder or text(part, "model_type").startswith(("gemma", "whisper", "cohere"))
    return flag(part, "tie_word_embeddings", flag(config, "tie_word_embeddings", shares))


def max_positions_of(part: Config) -> int:
    """The longest sequence, with rope scaling; 0 if the config does not say.

    Where a config names positions that already include the factor (DeepSeek's yarn), they are not
    multiplied again.
    """
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length",
             "max_sequence_length", "max_target_positions")  # fmt: skip
    positions = integer(part, *names) or 0
    scaling = section(part, "rope_scaling") or section(part, "rope_parameters")
    factor, original = fraction(scaling, "factor"), integer(scaling, "original_max_position_embeddings")
    kind = text(scaling, "rope_type") or text(scaling, "type")
    model_type = text(part, "model_type")
    if model_type in ("roberta", "xlm-roberta"):
        return max(0, positions - PADDING_POSITIONS)
    if not factor or kind in INCLUDED or model_type.startswith("gemma3"):
        return positions
    if original:
        return max(positions, int(original * factor))
    return int(positions * factor) if kind in ("linear", "dynamic", "ntk", "yarn") else positions


def _doubts(part: Config, traits: Traits, kinds: list[Kind]) -> tuple[str, ...]:
    """What the rest relies on and the config leaves open."""
    doubts = []
    if not traits.is_known:
        doubts.append(f"model type {text(part, 'model_type')[:60] or 'unnamed'!r} is not known")
    attends = Kind.FULL in kinds or Kind.WINDOW in kinds
    searched = items(part, "block_configs")
    if attends and kv_heads_of(part) is None and not has_latent_attention(part) and not searched:
        grouped = text(part, "model_type") in ("nemotron-nas", "")
        if grouped:
            doubts.append("the number of KV heads: as many as query heads")
    return tuple(doubts)


def _rope_dim(part: Config, traits: Traits, hidden: int) -> int:
    if traits.encoder or traits.no_rope:
        return 0
    if has_latent_attention(part):
        return integer(part, "qk_rope_head_dim") or 64
    own = integer(part, "rotary_dim")
    share = fraction(part, "partial_rotary_factor") or traits.rotary
    return own or int(head_dim_of(part, hidden) * share)
