"""The KV cache and the recurrent states: bytes of each layer, exact.

Source: llama.cpp b11434, `llama-kv-cache.cpp`, `llama-kv-cache-iswa.cpp`, `llama-memory-recurrent.cpp`.
"""

from modelyard_models.gguf_tensors import CUDA_ALIGNMENT, CUDA_ROW_ELEMENTS
from modelyard_models.llama_cpp.flags import CACHE_TYPES, PADDING, Flags
from modelyard_models.llama_cpp.shape import Layer, Shape

STATE_ELEMENT_BYTES = 4


def row_bytes(elements: int, cache_type: str) -> int:
    block, size = CACHE_TYPES[cache_type]
    return -(-elements // block) * size


def micro_batch(shape: Shape, flags: Flags) -> int:
    """Tokens of one pass: no more than the context holds, which encoders pad."""
    context = flags.context_per_sequence * flags.streams if shape.is_encoder else flags.context
    return min(flags.batch, flags.ubatch, context)


def cells(shape: Shape, flags: Flags, layer: Layer) -> int:
    """Tokens that one stream of the layer's cache holds."""
    full = flags.context_per_sequence
    if not layer.slides or flags.swa_full:
        return full
    windows = flags.parallel if flags.unified else 1
    tokens = min(full, shape.window * windows + micro_batch(shape, flags))
    return -(-tokens // PADDING) * PADDING


def token_bytes(shape: Shape, flags: Flags, layer: Layer) -> int:
    """Keys and values of one token in one layer."""
    if not layer.attends:
        return 0
    size = row_bytes(layer.key_width, flags.cache_type_k)
    if shape.indexer_length:
        size += row_bytes(shape.indexer_length, flags.cache_type_k)
    if shape.is_mla:
        return size
    value_width = layer.value_width
    if not flags.flash_attention:
        value_width = max(other.value_width for other in shape.layers)
    return size + row_bytes(value_width, flags.cache_type_v)


def layer_bytes(shape: Shape, flags: Flags, layer: Layer, on_device: bool = False) -> int:
    """Of all slots. A device pads the last quantised row."""
    kept = token_bytes(shape, flags, layer) * cells(shape, flags, layer) * flags.streams
    if on_device and layer.attends:
        kept += _padding_bytes(layer.key_width, flags.cache_type_k)
        kept += 0 if shape.is_mla else _padding_bytes(layer.value_width, flags.cache_type_v)
    if layer.recurs:
        kept += state_bytes(shape) * flags.parallel
    return kept


def state_bytes(shape: Shape) -> int:
    """A recurrent layer's memory of one sequence."""
    return (shape.conv_state + shape.recurrent_state) * STATE_ELEMENT_BYTES


def _padding_bytes(width: int, cache_type: str) -> int:
    beyond = width % CUDA_ROW_ELEMENTS
    if CACHE_TYPES[cache_type][0] == 1 or not beyond:
        return 0
    size = row_bytes(CUDA_ROW_ELEMENTS - beyond, cache_type)
    return -(-size // CUDA_ALIGNMENT) * CUDA_ALIGNMENT


def bytes_per_token(shape: Shape, flags: Flags) -> int:
    """That grow with the context: sliding layers count only where they keep everything."""
    return sum(
        token_bytes(shape, flags, layer) for layer in shape.layers if flags.swa_full or not layer.slides
    )
