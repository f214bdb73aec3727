"""Compute buffers: a closed form of what llama.cpp's graph allocator reserves for one micro-batch.

The peak of a graph is that of its largest layer; coefficients in `builds.toml`, formulas measured against the
planner of b11434. Elements have four bytes, masks two (four without flash attention).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelyard_models.llama_cpp.attention import (
    attention_bytes,
    foreign_cache_bytes,
    mask_bytes,
    rotation_bytes,
)
from modelyard_models.llama_cpp.builds import Build
from modelyard_models.llama_cpp.flags import Flags
from modelyard_models.llama_cpp.graph import ELEMENT_BYTES, Graph
from modelyard_models.llama_cpp.kv_cache import micro_batch, state_bytes
from modelyard_models.llama_cpp.placement import HOST, Placement, Weights
from modelyard_models.llama_cpp.shape import Layer, Shape

OFFLOAD_BATCH = 32
"""A device computes with weights on the host from so many tokens on."""


@dataclass(frozen=True, slots=True)
class Buffers:
    devices: dict[int, int]
    """By rank."""
    host: int


@dataclass(frozen=True, slots=True)
class DevicePart:
    """Which part of a graph a device computes."""

    computes_all: bool
    """Also what has its weights on the host."""
    begins: bool
    """The input enters the graph here."""
    is_host: bool = False


HOST_PART = DevicePart(computes_all=True, begins=True, is_host=True)
WHOLE_PART = DevicePart(computes_all=False, begins=True)


def buffers(shape: Shape, flags: Flags, placement: Placement, weights: Weights, build: Build) -> Buffers:
    graph = Graph(shape, flags, build, micro_batch(shape, flags))
    if shape.is_encoder:
        return _encoder(graph, placement)
    if not placement.devices:
        return Buffers({}, _alone(graph, placement, _layers(placement)))
    if _works_in_a_pipeline(flags, placement):
        return _pipeline(graph, placement)
    return _one_after_another(graph, placement, weights)


def _inputs(graph: Graph) -> int:
    per_token = round(graph.build.of("inputs", "bytes_per_token"))
    return per_token * graph.tokens + rotation_bytes(graph.shape, graph.flags)


def _outputs(graph: Graph) -> int:
    """Logits: of each slot, or of every token where all are wanted."""
    count = graph.tokens if graph.flags.embedding else min(graph.flags.parallel, graph.tokens)
    return ELEMENT_BYTES * count * graph.shape.vocabulary


def _alone(graph: Graph, placement: Placement, layers: list[Layer]) -> int:
    """On the host, which computes these layers."""
    more = graph.bytes(graph.elements("host", alone_width=graph.shape.width))
    peak = _peak(graph, placement, layers, HOST_PART)
    outputs = _outputs(graph) if placement.output == HOST else 0
    return max(peak, outputs) + more + mask_bytes(graph, _layers(placement)) + _inputs(graph)


def _works_in_a_pipeline(flags: Flags, placement: Placement) -> bool:
    """As `llama_context` decides: several devices, all layers and the cache on them."""
    several = len(placement.devices) > 1
    return several and placement.is_whole and flags.kv_offload and not flags.cpu_moe_layers


def _pipeline(graph: Graph, placement: Placement) -> Buffers:
    copies = round(graph.build.of("pipeline", "copies"))
    width = graph.shape.width
    found = {}
    for rank in placement.devices:
        layers = _layers(placement, rank)
        mask = mask_bytes(graph, layers) + _inputs(graph)
        name = "first_width" if rank == placement.devices[0] else "other_width"
        more = graph.bytes(graph.elements("pipeline", **{name: width}))
        found[rank] = _peak(graph, placement, layers, WHOLE_PART) + more + copies * mask
    mask = mask_bytes(graph, _layers(placement)) + _inputs(graph) + _host_cache(graph, placement)
    return Buffers(found, graph.bytes(graph.elements("pipeline", host_width=width)) + copies * mask)


def _one_after_another(graph: Graph, placement: Placement, weights: Weights) -> Buffers:
    """The first device also computes for layers whose weights lie on the host."""
    first = placement.devices[0]
    on_host = HOST in placement.layers or graph.flags.cpu_moe_layers > 0
    helps = on_host and graph.flags.op_offload and graph.tokens >= OFFLOAD_BATCH
    found = {}
    for rank in placement.devices:
        computes = rank == first and helps
        layers = _layers(placement, None if computes else rank)
        part = DevicePart(computes, begins=rank == first and (helps or HOST not in placement.layers))
        peak = _peak(graph, placement, layers, part)
        if rank == first and helps:
            peak = max(peak, _foreign(graph, placement, weights))
        found[rank] = max(peak, _outputs(graph) if rank == placement.output else 0)
        if layers:
            found[rank] += mask_bytes(graph, layers) + _inputs(graph)
    states_on_host = _layers(placement, HOST if graph.flags.kv_offload else None)
    if (on_host and not helps) or any(layer.recurs for layer in states_on_host):
        only_experts = [replace(layer, attends=False) for layer in _layers(placement) if layer.hosts_experts]
        return Buffers(found, _alone(graph, placement, states_on_host + only_experts))
    host = graph.bytes(graph.elements("host", width=graph.shape.width)) + _host_cache(graph, placement)
    return Buffers(found, host + mask_bytes(graph, _layers(placement)) + _inputs(graph))


def _host_cache(graph: Graph, placement: Placement) -> int:
    """Keys and values that pass through the host's buffer without flash attention."""
    if graph.flags.flash_attention or graph.shape.is_mla:
        return 0
    kinds = {layer.slides: layer.key_width for layer in _layers(placement) if layer.attends}
    return graph.bytes(graph.elements("no_flash_attention", host_cache=sum(kinds.values())))


def _foreign(graph: Graph, placement: Placement, weights: Weights) -> int:
    """While a device computes with a matrix that it copied from the host, and with keys that it copied."""
    shape = graph.shape
    inner = max(layer.feed_forward for layer in shape.layers)
    elements = graph.elements("foreign_weights", feed_forward=inner, width=shape.width)
    if shape.experts:
        used = shape.experts_used * shape.expert_feed_forward
        late = graph.elements(
            "foreign_weights", experts=used, experts_output=shape.experts_used * shape.width
        )
        early = graph.elements("foreign_weights", experts_early=used)
        elements = max(late, early) + graph.elements("foreign_weights", width=shape.width)
    hosted = [layer for layer in _layers(placement, HOST) if layer.attends]
    keys = max((foreign_cache_bytes(graph, layer, placement) // 2 for layer in hosted), default=0)
    matrices = graph.build.expert_copies(shape.architecture) if shape.experts else 1
    return matrices * weights.largest_foreign_bytes + graph.bytes(elements) + keys


def _layers(placement: Placement, rank: int | None = None) -> list[Layer]:
    """One of each kind on a device, or anywhere."""
    return [layer for where, layer, _ in placement.kinds if rank in (None, where)]


def _peak(graph: Graph, placement: Placement, layers: Iterable[Layer], part: DevicePart) -> int:
    return max((_layer_peak(graph, placement, layer, part) for layer in layers), default=0)


def _layer_peak(graph: Graph, placement: Placement, layer: Layer, part: DevicePart) -> int:
    shape = graph.shape
    if layer.has_experts or (layer.hosts_experts and part.computes_all):
        found = graph.bytes(_experts(graph))
    else:
        found = graph.bytes(_dense(graph, layer, part))
    if shape.is_mla:
        found = max(found, graph.bytes(_latent(graph)))
    if layer.recurs and shape.inner_width:
        found = max(found, _recurrent(graph))
    if not layer.attends:
        return found
    copies = not part.is_host and (part.computes_all or not graph.flags.kv_offload)
    foreign = foreign_cache_bytes(graph, layer, placement) if copies else 0
    return max(found, attention_bytes(graph, layer, foreign, part.is_host))


def _dense(graph: Graph, layer: Layer, part: DevicePart) -> float:
    width = graph.shape.width
    if layer.hosts_experts:
        results = 0 if graph.flags.op_offload else graph.shape.experts_used * width
        elements = graph.elements("dense", width=width, feed_forward=graph.shape.shared_feed_forward)
        return elements + graph.elements("foreign_weights", host_results=results)
    elements = graph.elements("dense", feed_forward=layer.feed_forward)
    if part.begins:
        return elements + graph.elements("dense", width=width)
    return elements + graph.elements("foreign_weights", later_width=width)


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


def _recurrent(graph: Graph) -> int:
    states = graph.build.of("recurrent", "states") * graph.flags.parallel - 1
    inner = graph.bytes(graph.elements("recurrent", inner=graph.shape.inner_width))
    return inner + round(states * state_bytes(graph.shape))


def _encoder(graph: Graph, placement: Placement) -> Buffers:
    shape, flash = graph.shape, graph.flags.flash_attention
    layer = shape.layers[0]
    size = 2 if flash else ELEMENT_BYTES
    mask = size * graph.tokens**2 + _inputs(graph)
    inner = max(other.feed_forward for other in shape.layers)
    host = graph.elements("encoder", host_width=shape.width)
    if not placement.devices:
        return Buffers({}, mask + graph.bytes(host + graph.elements("encoder", feed_forward=inner)))
    peak = graph.bytes(graph.elements("encoder", feed_forward=inner, width=shape.width))
    if not flash:
        scores = ELEMENT_BYTES * layer.heads * graph.tokens**2
        peak = max(peak, scores + graph.bytes(graph.elements("encoder", no_flash_width=shape.width)))
    return Buffers(dict.fromkeys(placement.devices, peak + mask), mask + graph.bytes(host))
