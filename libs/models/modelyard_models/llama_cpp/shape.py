"""The shape of a model as llama.cpp reads it from a GGUF header."""

from dataclasses import dataclass
from typing import Any

from modelyard_contracts.models import GgufFacts

from modelyard_models.llama_cpp import architectures

MOST_NUMBER = 1 << 40
MOST_LAYERS = 512
"""llama.cpp's LLAMA_MAX_LAYERS."""


@dataclass(frozen=True, slots=True)
class Layer:
    heads: int
    kv_heads: int
    key_length: int
    value_length: int
    feed_forward: int
    """Inner width; 0 for the last layer, which goes on with those tokens alone whose logits are wanted."""
    has_experts: bool
    hosts_experts: bool
    """They lie in main memory whatever device the layer is on: `--cpu-moe`."""
    attends: bool
    """Has a KV cache of its own."""
    slides: bool
    """Its cache holds a window."""
    recurs: bool
    """Has a recurrent state."""

    @property
    def key_width(self) -> int:
        return self.kv_heads * self.key_length

    @property
    def value_width(self) -> int:
        return self.kv_heads * self.value_length


@dataclass(frozen=True, slots=True)
class Shape:
    architecture: str
    layers: tuple[Layer, ...]
    """Those that run; layers for predicting several tokens are not loaded."""
    layers_in_file: int
    """What llama.cpp counts when it places layers."""
    width: int
    vocabulary: int
    context_length: int
    is_encoder: bool
    is_mla: bool
    """Keys and values share one latent vector: no values are kept."""
    window: int
    experts: int
    experts_used: int
    expert_feed_forward: int
    shared_feed_forward: int
    query_rank: int
    latent_rank: int
    mla_key_length: int
    mla_value_length: int
    rope_length: int
    conv_state: int
    """Elements of a recurrent layer's convolution state, for one sequence."""
    recurrent_state: int
    inner_width: int
    """Of a state-space layer."""
    indexer_length: int
    """Of the keys a sparse-attention indexer keeps beside the cache."""


class NoShape(ValueError):
    """The header does not say enough; the message names what is missing."""


class _Keys:
    """Numbers of one architecture in a header."""

    def __init__(self, facts: GgufFacts) -> None:
        self.metadata = facts.metadata
        name = facts.metadata.get("general.architecture")
        if not isinstance(name, str):
            raise NoShape("the header names no general.architecture")
        self.architecture = name

    def value(self, key: str) -> Any:
        return self.metadata.get(f"{self.architecture}.{key}")

    def number(self, key: str, otherwise: int = 0) -> int:
        value = self.value(key)
        if isinstance(value, list):
            value = max((item for item in value if isinstance(item, int)), default=None)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST_NUMBER:
            return otherwise
        return value

    def per_layer(self, key: str, count: int, otherwise: list[int]) -> list[int]:
        value = self.value(key)
        if isinstance(value, list):
            numbers = [
                int(item) if isinstance(item, int) and 0 <= item < MOST_NUMBER else 0 for item in value
            ]
            return (numbers + [0] * count)[:count]
        return [self.number(key)] * count if isinstance(value, int) else otherwise


def shape_of(facts: GgufFacts) -> Shape:
    """Raises `NoShape`."""
    keys = _Keys(facts)
    in_file = keys.number("block_count")
    width = keys.number("embedding_length")
    if not 0 < in_file <= MOST_LAYERS or not width:
        raise NoShape(f"the header lacks {keys.architecture}.block_count or .embedding_length")
    running = max(in_file - keys.number("nextn_predict_layers"), 1)
    heads = keys.per_layer("attention.head_count", in_file, [0] * in_file)
    is_mla = bool(keys.number("attention.key_length_mla"))
    feed_forward = max(keys.per_layer("feed_forward_length", in_file, [0] * in_file))
    return Shape(
        architecture=keys.architecture,
        layers=_layers(keys, running, heads, width, _with_experts(facts, running)),
        layers_in_file=in_file,
        width=width,
        vocabulary=facts.vocabulary_size,
        context_length=keys.number("context_length"),
        is_encoder=architectures.is_listed(keys.architecture, "encoders"),
        is_mla=is_mla,
        window=_window(keys),
        experts=keys.number("expert_count"),
        experts_used=keys.number("expert_used_count"),
        expert_feed_forward=keys.number("expert_feed_forward_length", feed_forward),
        shared_feed_forward=keys.number("expert_shared_feed_forward_length"),
        query_rank=keys.number("attention.q_lora_rank"),
        latent_rank=keys.number("attention.kv_lora_rank"),
        mla_key_length=keys.number("attention.key_length_mla"),
        mla_value_length=keys.number("attention.value_length_mla"),
        rope_length=keys.number("rope.dimension_count"),
        conv_state=_conv_state(keys, width, heads),
        recurrent_state=_recurrent_state(keys, width, heads),
        inner_width=keys.number("ssm.inner_size"),
        indexer_length=keys.number("attention.indexer.key_length"),
    )


def _with_experts(facts: GgufFacts, running: int) -> set[int]:
    found = {group.layer for group in facts.groups if group.role == "experts" and group.layer is not None}
    return found - {running - 1}


def _layers(
    keys: _Keys, count: int, heads: list[int], width: int, with_experts: set[int]
) -> tuple[Layer, ...]:
    first_heads = next((number for number in heads if number), 0)
    length = width // first_heads if first_heads else 0
    kv_heads = keys.per_layer("attention.head_count_kv", len(heads), heads)
    feed_forward = keys.per_layer("feed_forward_length", len(heads), [0] * len(heads))
    slides = _slides(keys, count)
    key = keys.number("attention.key_length", length)
    value = keys.number("attention.value_length", length)
    key_sliding = keys.number("attention.key_length_swa", key)
    value_sliding = keys.number("attention.value_length_swa", value)
    memory = _Memory(keys, count, kv_heads, feed_forward)
    return tuple(
        Layer(
            heads=heads[at],
            kv_heads=kv_heads[at],
            key_length=key_sliding if slides[at] else key,
            value_length=value_sliding if slides[at] else value,
            feed_forward=0 if at == count - 1 else feed_forward[at],
            has_experts=at in with_experts,
            hosts_experts=False,
            attends=memory.attends(at),
            slides=slides[at],
            recurs=memory.recurs(at),
        )
        for at in range(count)
    )


class _Memory:
    """Which layers keep a KV cache, and which a recurrent state."""

    def __init__(self, keys: _Keys, count: int, kv_heads: list[int], feed_forward: list[int]) -> None:
        name = keys.architecture
        self.is_encoder = architectures.is_listed(name, "encoders")
        self.both = architectures.is_listed(name, "hybrid_everywhere")
        kept = architectures.kv_layers(name) or count - keys.number("attention.shared_kv_layers")
        self.recurrent = [False] * count
        if architectures.is_listed(name, "recurrent"):
            self.recurrent = [True] * count
        elif architectures.is_listed(name, "hybrid"):
            self.recurrent = [not heads for heads in kv_heads[:count]]
        else:
            every = architectures.full_attention_interval(name)
            if every:
                every = keys.number("full_attention_interval") or every
                said = keys.value("attention.recurrent_layers")
                by_period = [(at + 1) % every != 0 for at in range(count)]
                self.recurrent = (
                    [bool(item) for item in said][:count] if isinstance(said, list) else by_period
                )
        only_feed_forward = name.startswith("nemotron_h")
        self.idle = [only_feed_forward and bool(feed_forward[at]) for at in range(count)]
        self.kept = kept

    def attends(self, at: int) -> bool:
        if self.is_encoder or self.idle[at] or at >= self.kept:
            return False
        return self.both or not self.recurrent[at]

    def recurs(self, at: int) -> bool:
        return self.both or (self.recurrent[at] and not self.idle[at])


def _window(keys: _Keys) -> int:
    """0: none slides."""
    sliding = architectures.sliding(keys.architecture)
    if sliding is None or (sliding.layers and keys.number("block_count") != sliding.layers):
        return 0
    return keys.number("attention.sliding_window", sliding.window or 0)


def _slides(keys: _Keys, count: int) -> list[bool]:
    sliding = architectures.sliding(keys.architecture)
    if sliding is None or not _window(keys):
        return [False] * count
    said = keys.value("attention.sliding_window_pattern")
    if isinstance(said, list):
        return ([bool(item) for item in said] + [False] * count)[:count]
    period = keys.number("attention.sliding_window_pattern", sliding.period or 1)
    if not period:
        return [True] * count
    full_at = 0 if sliding.full_first else period - 1
    return [at % period != full_at for at in range(count)]


def _conv_state(keys: _Keys, width: int, heads: list[int]) -> int:
    """As `llama_hparams::n_embd_r`."""
    if keys.number("wkv.head_size"):
        return keys.number("token_shift_count", 2) * width
    if keys.number("shortconv.l_cache"):
        return width * (keys.number("shortconv.l_cache") - 1)
    kernel = keys.number("ssm.conv_kernel")
    if keys.number("kda.head_dim"):
        return 3 * (kernel - 1 if kernel else 3) * max(heads) * keys.number("kda.head_dim")
    inner = keys.number("ssm.inner_size") + 2 * keys.number("ssm.group_count") * keys.number("ssm.state_size")
    return max(kernel - 1, 0) * inner


def _recurrent_state(keys: _Keys, width: int, heads: list[int]) -> int:
    """As `llama_hparams::n_embd_s`."""
    if keys.number("wkv.head_size"):
        return width * keys.number("wkv.head_size")
    if keys.number("shortconv.l_cache"):
        return 0
    if keys.number("kda.head_dim"):
        return int(keys.number("kda.head_dim") ** 2 * max(heads))
    return keys.number("ssm.state_size") * keys.number("ssm.inner_size")
