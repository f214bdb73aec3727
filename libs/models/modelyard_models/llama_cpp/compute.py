"""Compute buffers: a closed form of what llama.cpp's graph allocator reserves for one micro-batch.

The peak of a graph is that of its largest layer; coefficients in `builds.toml`, formulas measured against the
planner of b11434. Elements have four bytes, masks two (four without flash attention).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from modelyard_models.llama_cpp.builds import Build
from modelyard_models.llama_cpp.flags import CACHE_TYPES, Flags
from modelyard_models.llama_cpp.kv_cache import cells, micro_batch
from modelyard_models.llama_cpp.placement import HOST, Placement, Weights
from modelyard_models.llama_cpp.shape import Layer, Shape

ELEMENT_BYTES = 4
COPY_BYTES = 2
OFFLOAD_BATCH = 32
"""A device computes with weights on the host from so many tokens on."""


@dataclass(frozen=True, slots=True)
class Buffers:
    devices: dict[int, int]
    """By rank."""
    host: int


@dataclass(frozen=True, slots=True)
class Graph:
    """One micro-batch of a model under its flags."""

    shape: Shape
    flags: Flags
    build: Build
    tokens: int

    def elements(self, kind: str, **widths: float) -> float:
        """Sum of the build's coefficients times the widths they count."""
        return sum(self.build.of(kind, name) * width for name, width in widths.items())

    def bytes(self, elements: float) -> int:
        return round(elements * ELEMENT_BYTES * self.tokens)


def buffers(shape: Shape, flags: Flags, placement: Placement, weights: Weights, build: Build) -> Buffers:
    graph = Graph(shape, flags, build, micro_batch(shape, flags))
    inputs = round(build.of("inputs", "bytes_per_token")) * graph.tokens
    mask = _mask(graph, placement) + inputs
    if shape.is_encoder:
        return _encoder(graph, placement, inputs)
    if placement.offloaded == 0:
        alone = _peak(graph, _layers(placement), is_host=True) + graph.bytes(
            graph.elements("host", alone_width=shape.width)
        )
        return Buffers({}, alone + mask)
    if _works_in_a_pipeline(flags, placement):
        return _pipeline(graph, placement, mask)
    return _one_after_another(graph, placement, weights, mask)


def _works_in_a_pipeline(flags: Flags, placement: Placement) -> bool:
    """As `llama_context` decides: several devices, all layers and the cache on them."""
    several = len(placement.devices) > 1
    return several and placement.is_whole and flags.kv_offload and not flags.cpu_moe_layers


def _pipeline(graph: Graph, placement: Placement, mask: int) -> Buffers:
    copies = round(graph.build.of("pipeline", "copies"))
    width = graph.shape.width
    found = {}
    for rank in placement.devices:
        name = "first_width" if rank == placement.devices[0] else "other_width"
        more = graph.bytes(graph.elements("pipeline", **{name: width}))
        found[rank] = _peak(graph, _layers(placement, rank)) + more + copies * mask
    host = graph.bytes(graph.elements("pipeline", host_width=width)) + copies * mask
    return Buffers(found, host)


def _one_after_another(graph: Graph, placement: Placement, weights: Weights, mask: int) -> Buffers:
    """The first device also computes for layers whose weights lie on the host."""
    first = placement.devices[0]
    on_host = HOST in placement.layers or graph.flags.cpu_moe_layers > 0
    helps = on_host and graph.flags.op_offload and graph.tokens >= OFFLOAD_BATCH
    found = {}
    for rank in placement.devices:
        if rank == first and helps:
            found[rank] = _peak(graph, _layers(placement)) + mask + weights.largest_host_matrix
        else:
            found[rank] = _peak(graph, _layers(placement, rank)) + mask
    host = graph.bytes(graph.elements("host", width=graph.shape.width)) + mask
    if on_host and not helps:
        host += _peak(graph, _layers(placement), is_host=True)
    return Buffers(found, host)


def _layers(placement: Placement, rank: int | None = None) -> list[Layer]:
    """One of each kind on a device, or anywhere."""
    return [layer for where, layer, _ in placement.kinds if rank in (None, where)]


def _peak(graph: Graph, layers: Iterable[Layer], is_host: bool = False) -> int:
    peaks = (_layer_peak(graph, layer, is_host) for layer in layers)
    return max(peaks, default=graph.bytes(graph.shape.width))


def _layer_peak(graph: Graph, layer: Layer, is_host: bool) -> int:
    shape = graph.shape
    width = shape.width
    kinds = [graph.elements("dense", feed_forward=layer.feed_forward, width=width)]
    if shape.experts:
        kinds.append(_experts(graph))
    if shape.is_mla:
        kinds.append(_latent(graph))
    if layer.recurs and shape.inner_width:
        kinds.append(graph.elements("recurrent", inner=shape.inner_width))
    found = graph.bytes(max(kinds))
    return max(found, _attention(graph, layer, is_host)) if layer.attends else found


def _experts(graph: Graph) -> float:
    shape = graph.shape
    used, inner = shape.experts_used, shape.expert_feed_forward
    spread = used * shape.width if 2 * inner < shape.width else 0
    return graph.elements("experts", feed_forward=used * inner, width=shape.width, spread=spread)


def _latent(graph: Graph) -> float:
    shape = graph.shape
    heads = max(layer.heads for layer in shape.layers)
    return graph.elements(
        "latent",
        compressed=heads * (shape.latent_rank + shape.rope_length),
        heads=heads * shape.mla_key_length,
        width=shape.width,
    )


def _attention(graph: Graph, layer: Layer, is_host: bool) -> int:
    """Scores of all heads without flash attention; with it, a device's 16-bit copies of a quantised cache."""
    shape, flags = graph.shape, graph.flags
    seen = cells(shape, flags, layer)
    if not flags.flash_attention:
        scores = layer.heads * seen * ELEMENT_BYTES * graph.tokens
        query = layer.heads * layer.key_length if shape.is_mla else shape.width
        return scores + graph.bytes(graph.elements("no_flash_attention", width=max(query, shape.width)))
    copied = 0
    if is_host:
        return copied
    for width, cache_type in ((layer.key_width, flags.cache_type_k), (layer.value_width, flags.cache_type_v)):
        if CACHE_TYPES[cache_type][0] > 1 or cache_type == "f32":
            copied += seen * width * COPY_BYTES * flags.streams
    if not copied:
        return 0
    heads = layer.heads * layer.key_length
    return copied + graph.bytes(graph.elements("attention", width=shape.width, heads=heads))


def _mask(graph: Graph, placement: Placement) -> int:
    """One for the full cache, one for the sliding one."""
    kinds = {layer.slides: layer for _, layer, _ in placement.kinds if layer.attends}
    size = COPY_BYTES if graph.flags.flash_attention else ELEMENT_BYTES
    return size * graph.tokens * sum(cells(graph.shape, graph.flags, layer) for layer in kinds.values())


def _encoder(graph: Graph, placement: Placement, inputs: int) -> Buffers:
    shape = graph.shape
    mask = COPY_BYTES * graph.tokens**2 + inputs
    inner = max(layer.feed_forward for layer in shape.layers)
    host = graph.elements("encoder", host_width=shape.width)
    if placement.offloaded == 0:
        return Buffers({}, mask + graph.bytes(host + graph.elements("encoder", feed_forward=inner)))
    peak = mask + graph.bytes(graph.elements("encoder", feed_forward=inner, width=shape.width))
    return Buffers(dict.fromkeys(placement.devices, peak), mask + graph.bytes(host))
