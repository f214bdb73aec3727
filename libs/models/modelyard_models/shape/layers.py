"""A model's layers as plain values: what mixes tokens, what follows it, and the whole."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attention:
    """Multi-head, grouped-query or multi-query attention; with a window it keeps that many tokens."""

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int | None = None
    has_bias: bool = False
    has_output_bias: bool = False
    has_head_norm: bool = False
    has_gate: bool = False
    """The query projection is twice as wide (Qwen3-Next)."""


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """DeepSeek's MLA: one latent vector per token for all heads. With an indexer it is sparse (DSA)."""

    heads: int
    query_rank: int | None
    latent_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    index_heads: int = 0
    index_dim: int = 0


@dataclass(frozen=True, slots=True)
class LinearAttention:
    """Gated delta rule: a state of fixed size per sequence, nothing per token."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    convolution: int


@dataclass(frozen=True, slots=True)
class StateSpace:
    """Mamba 2: a state of fixed size per sequence."""

    heads: int
    head_dim: int
    state: int
    groups: int
    convolution: int


Mixer = Attention | LatentAttention | LinearAttention | StateSpace


@dataclass(frozen=True, slots=True)
class Dense:
    width: int
    is_gated: bool = True
    """Three matrices (gate, up, down), else two."""


@dataclass(frozen=True, slots=True)
class Experts:
    count: int
    active: int
    width: int
    shared_width: int = 0
    has_bias: bool = False
    is_gated: bool = True
    latent: int = 0
    """They work on vectors of this size, to which and from which one matrix each leads (Nemotron 3 Super);
    0: on the hidden state."""


FeedForward = Dense | Experts


@dataclass(frozen=True, slots=True)
class Layer:
    mixer: Mixer | None
    feed_forward: tuple[FeedForward, ...] = ()
    norms: int = 2


def counted(layers: Iterable[Layer]) -> list[tuple[Layer, int]]:
    """Each kind of layer and how many there are. Layers that are alike are one value in a `Shape`."""
    counts: dict[int, tuple[Layer, int]] = {}
    for layer in layers:
        known = counts.get(id(layer))
        counts[id(layer)] = (layer, known[1] + 1 if known else 1)
    return list(counts.values())


@dataclass(frozen=True, slots=True)
class Encoder:
    """A tower for images or sound in front of a language model, or the first half of an encoder-decoder."""

    parameters: int
    hidden: int = 0
    width: int = 0
    merge: int = 0
    """Patches per side that become one token; 0 where images have one fixed size."""


@dataclass(frozen=True, slots=True)
class Shape:
    hidden: int
    vocabulary: int
    layers: tuple[Layer, ...]
    max_positions: int
    is_tied: bool = False
    is_encoder_only: bool = False
    is_known: bool = True
    """Whether the architecture is modelled: else parts of this are a safe guess."""
    doubts: tuple[str, ...] = ()
    """What had to be guessed."""
    encoder: Encoder | None = None
    draft_layers: int = 0
    """Layers for multi-token prediction, which are loaded only for speculative decoding."""
    cross_positions: int = 0
    """Encoder positions that every decoder layer keeps keys and values of (Whisper)."""
    rope_dim: int = 0
    rope_caches: int = 1
    """Tables of rotary positions: one for each base."""
    bytes_per_weight: int = 2
    """Of what is not quantised, as loaded."""
