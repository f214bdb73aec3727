"""KV cache of one device: what each token costs, what a sequence costs whatever its length, and how vLLM
hands out pages for models whose layers are of several kinds."""

from collections import Counter
from dataclasses import dataclass

from modelyard_models.parallel import Parallel, stages
from modelyard_models.shape.layers import (
    Attention,
    LatentAttention,
    LinearAttention,
    Mixer,
    Shape,
    StateSpace,
    counted,
)

INDEX_SCALE_BYTES = 4
"""Beside each indexer key, which has 8 bits."""
GROUPED_WITH_MOST = 1.25
"""Kinds of nearly the same number make one group of the larger size (vllm/v1/core/kv_cache_utils.py)."""


@dataclass(frozen=True, slots=True)
class CacheLayer:
    """Layers of one kind on one device."""

    count: int
    token_bytes: float
    window: int | None = None
    state_bytes: float = 0.0
    """Per sequence, whatever its length."""

    @property
    def kind(self) -> tuple[int | None, bool]:
        return self.window, self.state_bytes > 0


@dataclass(frozen=True, slots=True)
class Cache:
    """Of one device. Immutable facts; `sequence_bytes` answers for a length."""

    layers: tuple[CacheLayer, ...]
    block: int
    batched_tokens: int
    is_paged_by_kind: bool
    """Whether layers with a window keep no more than it (the hybrid allocator)."""
    fixed_bytes: float = 0.0
    """Of each sequence: keys and values of an encoder's output."""

    @property
    def token_bytes(self) -> float:
        """What one more token costs a long sequence."""
        return sum(
            layer.count * layer.token_bytes
            for layer in self.layers
            if layer.window is None or not self.is_paged_by_kind
        )

    def sequence_bytes(self, tokens: int) -> float:
        """Of one sequence of that length, in whole blocks."""
        return self.fixed_bytes + sum(self._kind_bytes(layer, tokens) for layer in self.layers)

    @property
    def is_uniform(self) -> bool:
        """Whether every token costs the same, so that the pool can be counted in tokens."""
        return not self.fixed_bytes and all(
            layer.state_bytes == 0 and (layer.window is None or not self.is_paged_by_kind)
            for layer in self.layers
        )

    def _kind_bytes(self, layer: CacheLayer, tokens: int) -> float:
        count = self._padded(layer)
        if layer.state_bytes:
            return count * layer.state_bytes
        if layer.window is None or not self.is_paged_by_kind:
            return count * layer.token_bytes * _up(tokens, self.block)
        kept = min(layer.window - 1 + self.batched_tokens, tokens)
        return count * layer.token_bytes * (_up(kept, self.block) + self.block)

    def _padded(self, layer: CacheLayer) -> float:
        """Kinds of layers share pages in groups of the rarest kind's size, filled up with idle layers."""
        sizes: Counter[tuple[int | None, bool]] = Counter()
        for one in self.layers:
            sizes[one.kind] += one.count
        if len(sizes) < 2 or not self.is_paged_by_kind:
            return layer.count
        least, most = min(sizes.values()), max(sizes.values())
        group = most if most < least * GROUPED_WITH_MOST else least
        own = sizes[layer.kind]
        return layer.count * _up(own, group) / own


def cache_of(
    shape: Shape,
    parallel: Parallel,
    stage: int,
    element_bytes: float,
    block: int,
    batched_tokens: int,
    is_paged_by_kind: bool,
) -> Cache:
    held = stages(len(shape.layers), parallel.pipeline)[stage]
    layers = [
        _layer(layer.mixer, count, parallel.attention_tensor, element_bytes)
        for layer, count in counted(shape.layers[at] for at in held)
        if layer.mixer is not None and not shape.is_encoder_only
    ]
    crossing = 0.0
    if shape.cross_positions:
        each = sum(layer.count * layer.token_bytes for layer in layers)
        crossing = each * shape.cross_positions
    return Cache(_merged(layers), block, batched_tokens, is_paged_by_kind, crossing)


def token_bytes_of_model(shape: Shape, element_bytes: float) -> float:
    """Of all layers, each counted once, for a long sequence: layers with a window cost nothing more."""
    whole = Parallel()
    return cache_of(shape, whole, 0, element_bytes, 1, 1, is_paged_by_kind=True).token_bytes


def _merged(layers: list[CacheLayer]) -> tuple[CacheLayer, ...]:
    """Layers of the same cost are one kind, whatever else differs."""
    counts: Counter[CacheLayer] = Counter()
    for layer in layers:
        counts[CacheLayer(0, layer.token_bytes, layer.window, layer.state_bytes)] += layer.count
    return tuple(
        CacheLayer(count, one.token_bytes, one.window, one.state_bytes) for one, count in counts.items()
    )


def _layer(mixer: Mixer, count: int, tensor: int, element_bytes: float) -> CacheLayer:
    match mixer:
        case Attention():
            heads = max(1, mixer.kv_heads // tensor)
            return CacheLayer(count, heads * (mixer.head_dim + mixer.value_dim) * element_bytes, mixer.window)
        case LatentAttention():
            latent = (mixer.latent_rank + mixer.rope_dim) * element_bytes
            return CacheLayer(count, latent + (mixer.index_dim + INDEX_SCALE_BYTES if mixer.index_dim else 0))
        case LinearAttention():
            keys, values = mixer.key_heads * mixer.key_dim, mixer.value_heads * mixer.value_dim
            convolution = (mixer.convolution - 1) * (2 * keys + values) * 2
            state = mixer.value_heads * mixer.key_dim * mixer.value_dim * 4
            return CacheLayer(count, 0.0, None, (convolution + state) / tensor)
        case StateSpace():
            inner = mixer.heads * mixer.head_dim
            convolution = (mixer.convolution - 1) * (inner + 2 * mixer.groups * mixer.state) * 2
            return CacheLayer(count, 0.0, None, (convolution + inner * mixer.state * 4) / tensor)


def _up(size: int, step: int) -> int:
    return -(-size // step) * step
