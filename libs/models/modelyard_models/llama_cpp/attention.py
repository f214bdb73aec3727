"""What attention takes of a compute buffer: masks, scores, and copies of the cache."""

from modelyard_models.llama_cpp.flags import CACHE_TYPES, Flags
from modelyard_models.llama_cpp.graph import ELEMENT_BYTES, Graph
from modelyard_models.llama_cpp.kv_cache import cells, row_bytes
from modelyard_models.llama_cpp.placement import HOST, Placement
from modelyard_models.llama_cpp.shape import Layer, Shape

COPY_BYTES = 2
ROTATED = 64
FLASH_HEADS = (40, 64, 72, 80, 96, 112, 128, 256)
"""Lengths of heads that CUDA's flash attention knows, where keys and values have the same."""


def flash_on_devices(shape: Shape) -> bool:
    """Whether CUDA's flash attention takes every layer (ggml's `fattn.cu`); else `auto` turns it off."""
    return all(_takes(shape, layer) for layer in shape.layers if layer.attends or shape.is_encoder)


def _takes(shape: Shape, layer: Layer) -> bool:
    shared = layer.heads // layer.kv_heads if layer.kv_heads else 1
    key, value = layer.key_length, layer.value_length
    if shape.is_mla or (key, value) == (512, 512):
        return shared >= 2 and (key, value) in ((576, 512), (320, 256), (512, 512))
    if (key, value) == (192, 128):
        return shared % 8 == 0
    return key == value and key in FLASH_HEADS


def mask_bytes(graph: Graph, layers: list[Layer]) -> int:
    """One for the full cache, one for the sliding one; none where no layer attends."""
    kinds = {layer.slides: layer for layer in layers if layer.attends}
    size = COPY_BYTES if graph.flags.flash_attention else ELEMENT_BYTES
    return size * graph.tokens * sum(cells(graph.shape, graph.flags, layer) for layer in kinds.values())


def rotation_bytes(shape: Shape, flags: Flags) -> int:
    """Of the matrices that turn keys and values before they are quantised."""
    layer = next((layer for layer in shape.layers if layer.attends), None)
    if layer is None or shape.is_mla:
        return 0
    size = 0
    if CACHE_TYPES[flags.cache_type_k][0] > 1 and layer.key_length % ROTATED == 0:
        size += ELEMENT_BYTES * (layer.key_length & -layer.key_length) ** 2
    if CACHE_TYPES[flags.cache_type_v][0] > 1 and layer.value_length % ROTATED == 0:
        size += ELEMENT_BYTES * ROTATED**2
    return size


def attention_bytes(graph: Graph, layer: Layer, foreign_bytes: int, is_host: bool) -> int:
    """At its peak, without the mask; 0 where the feed-forward part always takes more.

    `foreign_bytes` are copies of a cache that lies elsewhere.
    """
    shape, flags = graph.shape, graph.flags
    heads = layer.heads * layer.key_length
    copied = foreign_bytes
    if not flags.flash_attention:
        scores = layer.heads * cells(shape, flags, layer) * ELEMENT_BYTES * graph.tokens
        widths = graph.elements("no_flash_attention", width=shape.width, heads=heads, cache=layer.key_width)
        return scores + copied + graph.bytes(widths)
    copied += 0 if is_host else _copied_bytes(shape, flags, layer)
    if not copied:
        return 0
    return copied + graph.bytes(graph.elements("attention", width=shape.width, heads=heads))


def _copied_bytes(shape: Shape, flags: Flags, layer: Layer) -> int:
    """16-bit copies of a quantised cache, as CUDA's kernels for many tokens want them."""
    copied = 0
    kinds = [(layer.key_width, flags.cache_type_k)]
    if not shape.is_mla:
        kinds.append((layer.value_width, flags.cache_type_v))
    for width, cache_type in kinds:
        if cache_type != "f16":
            copied += cells(shape, flags, layer) * width * COPY_BYTES * flags.streams
    return copied


def foreign_cache_bytes(graph: Graph, layer: Layer, placement: Placement) -> int:
    """Copies of one layer's keys and values that a device makes where they lie on the host."""
    shape, flags = graph.shape, graph.flags
    if flags.kv_offload and (HOST not in placement.layers or not flags.op_offload):
        return 0
    size = max(
        row_bytes(layer.key_width, flags.cache_type_k), row_bytes(layer.value_width, flags.cache_type_v)
    )
    return _copies(graph, placement) * size * cells(shape, flags, layer) * flags.streams


def _copies(graph: Graph, placement: Placement) -> int:
    if CACHE_TYPES[graph.flags.cache_type_k][0] > 1:
        return 2
    if graph.flags.kv_offload:
        return graph.build.cache_copies(graph.shape.architecture)
    return graph.build.cache_copies("several_devices") if len(placement.devices) > 1 else 2
