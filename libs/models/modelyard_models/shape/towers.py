"""Encoders in front of a language model (images, sound), and the encoder half of Whisper. Counts of
parameters are estimates: towers differ in their projectors."""

from modelyard_models.shape.layers import Encoder
from modelyard_models.shape.reading import Config, integer, text

GATED = ("qwen2_5_vl", "pixtral", "mllama")
VIDEO_TOWERS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "glm4v", "qwen2_5_omni", "qwen3_omni")


def encoder_of(config: Config, hidden: int) -> Encoder | None:
    parts = [
        found
        for name in ("vision_config", "audio_config", "vision_tower_config", "visual")
        if isinstance(part := config.get(name), dict) and (found := _tower(config, part, hidden))
    ]
    thinker = config.get("thinker_config")
    if not parts and isinstance(thinker, dict):
        return encoder_of(thinker, hidden)
    if not parts:
        return None
    largest = max(parts, key=lambda part: part.hidden)
    return Encoder(sum(part.parameters for part in parts), largest.hidden, largest.width, largest.merge)


def whisper_encoder(config: Config, hidden: int) -> Encoder:
    """With the decoder's cross-attention, which is as large as its attention to itself."""
    width = integer(config, "encoder_ffn_dim") or 4 * hidden
    depth = integer(config, "encoder_layers") or 1
    positions = integer(config, "max_source_positions") or 1500
    mels = integer(config, "num_mel_bins") or 80
    crossing = (integer(config, "decoder_layers") or depth) * 4 * hidden**2
    targets = (integer(config, "max_target_positions") or 448) * hidden
    convolutions = 3 * hidden * (mels + hidden)
    layers = depth * (4 * hidden**2 + 2 * hidden * width)
    return Encoder(layers + convolutions + positions * hidden + crossing + targets, hidden, width)


def _tower(config: Config, part: Config, hidden: int) -> Encoder | None:
    depth = integer(part, "depth", "num_hidden_layers", "vt_num_hidden_layers", "encoder_layers")
    inner = integer(part, "embed_dim", "hidden_size", "vt_hidden_size", "d_model")
    if depth is None or inner is None:
        return None
    width = integer(part, "intermediate_size", "vt_intermediate_size", "encoder_ffn_dim") or 4 * inner
    family = f"{text(config, 'model_type')} {text(part, 'model_type')}"
    matrices = 3 if any(name in family for name in GATED) else 2
    merge = integer(part, "spatial_merge_size") or 1
    joined = inner * merge * merge
    mergers = 1 + len(part.get("deepstack_visual_indexes") or [])
    patch = integer(part, "patch_size") or 14
    frames = integer(part, "temporal_patch_size") or 1
    image = integer(part, "image_size") or 0
    positions = integer(part, "num_position_embeddings") or (image // patch) ** 2
    projector = joined * joined + joined * hidden if merge > 1 else inner * hidden + hidden * hidden
    total = depth * (4 * inner**2 + matrices * inner * width) + mergers * projector
    is_dynamic = any(name in family for name in VIDEO_TOWERS)
    return Encoder(
        total + 3 * frames * patch**2 * inner + positions * inner, inner, width, merge if is_dynamic else 0
    )
