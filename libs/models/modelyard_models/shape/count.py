"""How many parameters a shape holds, in groups that are placed and quantised alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from modelyard_models.shape.layers import (
    Attention,
    Dense,
    Experts,
    FeedForward,
    LatentAttention,
    Layer,
    LinearAttention,
    Mixer,
    Shape,
    StateSpace,
    counted,
)


class Split(StrEnum):
    """Over which devices of a stage a group is divided; the rest have copies."""

    TENSOR = "tensor"
    KV_HEADS = "kv_heads"
    """Like tensors, but never into more parts than there are KV heads."""
    EXPERTS = "experts"
    NONE = "none"


class Role(StrEnum):
    ATTENTION = "attention"
    DENSE = "dense"
    EXPERTS = "experts"
    SHARED_EXPERTS = "shared_experts"
    ENCODER = "encoder"
    EMBEDDINGS = "embeddings"
    SMALL = "small"
    """Norms, routers, biases, convolutions: never quantised."""


@dataclass(frozen=True, slots=True)
class Group:
    role: Role
    elements: int
    split: Split
    parts: int = 0
    """For `KV_HEADS`: how many there are."""


REPLICATED_SHARE_OF_ENCODER = 0.25
"""Of a tower for images, on every rank: between Qwen3-VL-30B TP4 and Mistral-Small-3.1 TP2 (logs)."""


@cache
def layer_groups(layer: Layer, hidden: int) -> tuple[Group, ...]:
    groups = [Group(Role.SMALL, layer.norms * hidden, Split.NONE)]
    if layer.mixer is not None:
        groups += _mixer(layer.mixer, hidden)
    for one in layer.feed_forward:
        groups += _feed_forward(one, hidden)
    return tuple(group for group in groups if group.elements)


def embedding_groups(shape: Shape) -> tuple[Group, ...]:
    """Of the first stage."""
    positions = shape.max_positions * shape.hidden if shape.is_encoder_only else 0
    return (
        Group(Role.EMBEDDINGS, shape.vocabulary * shape.hidden, Split.TENSOR),
        Group(Role.SMALL, positions, Split.NONE),
    )


def head_groups(shape: Shape) -> tuple[Group, ...]:
    """Of the last stage: the output projection where it is not the embeddings, and the last norm."""
    elements = 0 if shape.is_tied or shape.is_encoder_only else shape.vocabulary * shape.hidden
    return (
        Group(Role.EMBEDDINGS, elements, Split.TENSOR),
        Group(Role.SMALL, shape.hidden, Split.NONE),
    )


def encoder_groups(shape: Shape) -> tuple[Group, ...]:
    if shape.encoder is None:
        return ()
    copied = int(shape.encoder.parameters * REPLICATED_SHARE_OF_ENCODER)
    return (
        Group(Role.ENCODER, shape.encoder.parameters - copied, Split.TENSOR),
        Group(Role.ENCODER, copied, Split.NONE),
    )


def draft_layer_groups(shape: Shape) -> tuple[Group, ...]:
    """One layer for multi-token prediction, as checkpoints hold it: with embeddings and head of its own."""
    joins = 2 * shape.hidden**2
    return (
        *layer_groups(shape.layers[-1], shape.hidden),
        Group(Role.DENSE, joins, Split.NONE),
        Group(Role.EMBEDDINGS, 2 * shape.vocabulary * shape.hidden, Split.TENSOR),
    )


def all_groups(shape: Shape) -> tuple[Group, ...]:
    layers = groups_of(shape.layers, shape.hidden)
    return (*embedding_groups(shape), *layers, *head_groups(shape), *encoder_groups(shape))


def groups_of(layers: Iterable[Layer], hidden: int) -> list[Group]:
    """Layers that are alike count as one with so many times its elements."""
    return [
        Group(group.role, group.elements * count, group.split, group.parts)
        for layer, count in counted(layers)
        for group in layer_groups(layer, hidden)
    ]


def parameters_of(shape: Shape) -> int:
    return sum(group.elements for group in all_groups(shape))


def active_parameters_of(shape: Shape) -> int:
    """Of the language model, for each token."""
    idle = 0
    for layer, count in counted(shape.layers):
        for one in layer.feed_forward:
            if isinstance(one, Experts):
                each = _matrices(one.is_gated) * (one.latent or shape.hidden) * one.width
                idle += count * (one.count - one.active) * each
    encoder = shape.encoder.parameters if shape.encoder and not shape.cross_positions else 0
    return parameters_of(shape) - encoder - idle


def _matrices(is_gated: bool) -> int:
    return 3 if is_gated else 2


def _mixer(mixer: Mixer, hidden: int) -> list[Group]:
    match mixer:
        case Attention():
            return _attention(mixer, hidden)
        case LatentAttention():
            return _latent(mixer, hidden)
        case LinearAttention():
            return _linear(mixer, hidden)
        case StateSpace():
            return _state_space(mixer, hidden)


def _attention(one: Attention, hidden: int) -> list[Group]:
    queries = one.heads * one.head_dim * (2 if one.has_gate else 1)
    cached = one.kv_heads * (one.head_dim + one.value_dim)
    small = (queries + cached if one.has_bias else 0) + (hidden if one.has_output_bias else 0)
    small += 2 * one.head_dim if one.has_head_norm else 0
    return [
        Group(Role.ATTENTION, hidden * (queries + one.heads * one.value_dim), Split.TENSOR),
        Group(Role.ATTENTION, hidden * cached, Split.KV_HEADS, one.kv_heads),
        Group(Role.SMALL, small, Split.TENSOR),
    ]


def _latent(one: LatentAttention, hidden: int) -> list[Group]:
    wide = one.heads * (one.nope_dim + one.rope_dim)
    queries = (one.query_rank or hidden) * wide
    copied = hidden * (one.latent_rank + one.rope_dim) + hidden * (one.query_rank or 0)
    expanding = one.latent_rank * one.heads * (one.nope_dim + one.value_dim)
    output = one.heads * one.value_dim * hidden
    indexer = one.index_heads * one.index_dim * (one.query_rank or hidden) + hidden * (
        one.index_dim + one.index_heads
    )
    return [
        Group(Role.ATTENTION, queries + expanding + output, Split.TENSOR),
        Group(Role.ATTENTION, copied + (indexer if one.index_dim else 0), Split.NONE),
        Group(Role.SMALL, one.latent_rank + (one.query_rank or 0), Split.NONE),
    ]


def _linear(one: LinearAttention, hidden: int) -> list[Group]:
    keys, values = one.key_heads * one.key_dim, one.value_heads * one.value_dim
    projections = hidden * (2 * keys + 3 * values + 2 * one.value_heads)
    small = (2 * keys + values) * one.convolution + 2 * one.value_heads + one.value_dim
    return [Group(Role.ATTENTION, projections, Split.TENSOR), Group(Role.SMALL, small, Split.TENSOR)]


def _state_space(one: StateSpace, hidden: int) -> list[Group]:
    inner, grouped = one.heads * one.head_dim, 2 * one.groups * one.state
    projections = hidden * (3 * inner + grouped + one.heads)
    small = (inner + grouped) * (one.convolution + 1) + inner + 3 * one.heads
    return [Group(Role.ATTENTION, projections, Split.TENSOR), Group(Role.SMALL, small, Split.TENSOR)]


def _feed_forward(one: FeedForward, hidden: int) -> list[Group]:
    matrices = _matrices(one.is_gated)
    if isinstance(one, Dense):
        return [Group(Role.DENSE, matrices * hidden * one.width, Split.TENSOR)]
    biases = one.count * ((matrices - 1) * one.width + hidden) if one.has_bias else 0
    return [
        Group(Role.EXPERTS, one.count * matrices * (one.latent or hidden) * one.width, Split.EXPERTS),
        Group(Role.DENSE, 2 * hidden * one.latent, Split.NONE),
        Group(Role.SHARED_EXPERTS, matrices * hidden * one.shared_width, Split.TENSOR),
        Group(Role.SMALL, hidden * one.count, Split.NONE),
        Group(Role.SMALL, biases, Split.EXPERTS),
    ]
