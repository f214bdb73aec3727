"""One model on the devices of one worker: bytes of weights, cache and buffers, by rank and on the host."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard_contracts.models import GgufFacts

from modelyard_models.layout import Device
from modelyard_models.llama_cpp.builds import Build
from modelyard_models.llama_cpp.compute import Buffers, buffers
from modelyard_models.llama_cpp.flags import Flags
from modelyard_models.llama_cpp.kv_cache import layer_bytes
from modelyard_models.llama_cpp.placement import HOST, Placement, Weights, place, weights
from modelyard_models.llama_cpp.shape import Shape


@dataclass(frozen=True, slots=True)
class Plan:
    placement: Placement
    weights: Weights
    cache: dict[int, int]
    """By rank, and `HOST`."""
    buffers: Buffers

    def device_bytes(self, rank: int) -> int:
        found = (self.weights.devices, self.cache, self.buffers.devices)
        return sum(part.get(rank, 0) for part in found)

    @property
    def host_bytes(self) -> int:
        return self.weights.host + self.cache[HOST] + self.buffers.host


def plan(
    facts: GgufFacts,
    shape: Shape,
    flags: Flags,
    devices: Sequence[Device],
    build: Build,
    offload_layers: int | None = None,
) -> Plan:
    """Raises `BadParameters`."""
    placement = place(shape, flags, devices, offload_layers)
    lying = weights(facts, shape, placement, flags, build.repack_types)
    return with_context(shape, flags, placement, lying, build)


def with_context(shape: Shape, flags: Flags, placement: Placement, lying: Weights, build: Build) -> Plan:
    """The plan for weights that lie already: only the context's part is computed."""
    cache = dict.fromkeys((HOST, *placement.devices), 0)
    for where, layer, count in placement.kinds:
        lies = where if flags.kv_offload else HOST
        cache[lies] += count * layer_bytes(shape, flags, layer, on_device=lies != HOST)
    return Plan(placement, lying, cache, buffers(shape, flags, placement, lying, build))
