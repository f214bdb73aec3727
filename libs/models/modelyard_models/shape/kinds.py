"""Which kind each layer is: attention to everything, to a window, linear attention, state space, none."""

from enum import StrEnum

from modelyard_models.shape.reading import Config, flag, integer, items, text
from modelyard_models.shape.traits import Traits


class Kind(StrEnum):
    FULL = "full"
    WINDOW = "window"
    LINEAR = "linear"
    STATE_SPACE = "state_space"
    DENSE_ONLY = "dense_only"
    EXPERTS_ONLY = "experts_only"


NAMES = {
    "full_attention": Kind.FULL,
    "attention": Kind.FULL,
    "deepseek_sparse_attention": Kind.FULL,
    "sliding_attention": Kind.WINDOW,
    "chunked_attention": Kind.WINDOW,
    "linear_attention": Kind.LINEAR,
    "mamba": Kind.STATE_SPACE,
    "mamba2": Kind.STATE_SPACE,
    "mlp": Kind.DENSE_ONLY,
    "moe": Kind.EXPERTS_ONLY,
}
LETTERS = {"M": Kind.STATE_SPACE, "*": Kind.FULL, "-": Kind.DENSE_ONLY, "E": Kind.EXPERTS_ONLY}


def kinds_of(config: Config, traits: Traits, count: int) -> tuple[list[Kind], str | None]:
    """The kind of each layer, and what had to be guessed, if anything had.

    Guesses are for the larger cache: a layer of an unknown kind attends to everything.
    """
    named = items(config, "layer_types") or items(config, "layers_block_type")
    if named:
        return _named(named, count)
    pattern = text(config, "hybrid_override_pattern")
    if pattern and set(pattern) <= set(LETTERS):
        return _filled([LETTERS[letter] for letter in pattern], count)
    if _has_linear_layers(config):
        every = integer(config, "full_attention_interval") or 4
        return [Kind.LINEAR if (at + 1) % every else Kind.FULL for at in range(count)], None
    if integer(config, "ssm_state_size", "mamba_num_heads"):
        return [Kind.FULL] * count, "which layers are state spaces: all count as attention"
    return _windows(config, traits, count)


def _named(named: list[object], count: int) -> tuple[list[Kind], str | None]:
    names = [str(name) for name in named]
    unknown = {name for name in names if name not in NAMES}
    kinds, doubt = _filled([NAMES.get(name, Kind.FULL) for name in names], count)
    if unknown:
        doubt = f"layers of kind {', '.join(sorted(unknown))}: they count as attention to everything"
    return kinds, doubt


def _filled(kinds: list[Kind], count: int) -> tuple[list[Kind], str | None]:
    """As many as there are layers: fewer are repeated from the start."""
    if len(kinds) >= count:
        return kinds[:count], None
    return (kinds * (count // len(kinds) + 1))[:count], "the kinds of some layers"


def _has_linear_layers(config: Config) -> bool:
    return integer(config, "linear_num_value_heads") is not None


def _windows(config: Config, traits: Traits, count: int) -> tuple[list[Kind], str | None]:
    if window_of(config, traits) is None:
        return [Kind.FULL] * count, None
    listed = items(config, "hybrid_layer_pattern")
    if listed:
        return _filled([Kind.WINDOW if one == 1 else Kind.FULL for one in listed], count)
    every = integer(config, "sliding_window_pattern") or traits.full_every
    if every:
        return [Kind.WINDOW if (at + 1) % every else Kind.FULL for at in range(count)], None
    if "use_sliding_window" in config:
        first = integer(config, "max_window_layers") or 0
        return [Kind.FULL if at < first else Kind.WINDOW for at in range(count)], None
    if traits.window_all:
        return [Kind.WINDOW] * count, None
    return [Kind.FULL] * count, "which layers have the sliding window: all count as attention to everything"


def window_of(config: Config, traits: Traits) -> int | None:
    if not flag(config, "use_sliding_window", default=True):
        return None
    window = integer(config, "sliding_window", "attention_chunk_size")
    if window is None and "sliding_window" not in config:
        window = traits.window
    positions = integer(config, "max_position_embeddings")
    return None if window is None or (positions is not None and window >= positions) else window


def has_latent_attention(config: Config) -> bool:
    return integer(config, "kv_lora_rank") is not None
