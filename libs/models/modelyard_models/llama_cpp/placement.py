"""Which layer lies where, and the bytes of weights that go with it: exact for CUDA.

Source: llama.cpp b11434, `llama_model_base::load_tensors`, and ggml's CUDA buffer type for the padding.
"""

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from modelyard_contracts.models import GgufFacts, TensorGroup
from modelyard_contracts.parameters import BadParameters

from modelyard_models.layout import Device
from modelyard_models.llama_cpp.flags import Flags
from modelyard_models.llama_cpp.shape import Layer, Shape

HOST = -1


@dataclass(frozen=True, slots=True)
class Placement:
    devices: tuple[int, ...]
    """Ranks in use, in order."""
    layers: tuple[int, ...]
    """The rank of the device of each layer in the file, or `HOST`."""
    output: int
    kinds: tuple[tuple[int, Layer, int], ...]
    """Rank or `HOST`, a layer, and how many like it lie there: large models have few kinds."""
    cpu_moe_layers: int
    total_layers: int
    """With the output layer, as llama.cpp counts."""

    @property
    def offloaded(self) -> int:
        return sum(place != HOST for place in (*self.layers, self.output))

    @property
    def is_whole(self) -> bool:
        return self.offloaded == self.total_layers


def place(shape: Shape, flags: Flags, devices: Sequence[Device], offload_layers: int | None) -> Placement:
    """Raises `BadParameters`."""
    used = _used(flags, len(devices))
    total = shape.layers_in_file + 1
    wanted = flags.gpu_layers if offload_layers is None else offload_layers
    active = min(wanted, total) if used else 0
    shares = _shares(flags, devices, used)
    first = total - active

    def rank(position: int) -> int:
        if position < first:
            return HOST
        share = _float32((position - first) / active)
        return used[min(bisect_right(shares, share), len(used) - 1)]

    places = tuple(rank(position) for position in range(total))
    layers = [
        replace(layer, has_experts=False, hosts_experts=layer.has_experts)
        if at < flags.cpu_moe_layers
        else layer
        for at, layer in enumerate(shape.layers)
    ]
    counts = Counter(zip(places, layers, strict=False))
    kinds = tuple((where, layer, count) for (where, layer), count in counts.items())
    return Placement(used, places[:-1], places[-1], kinds, flags.cpu_moe_layers, total)


def _used(flags: Flags, count: int) -> tuple[int, ...]:
    if flags.split_mode != "none":
        return tuple(range(count))
    if count and flags.main_gpu >= count:
        raise BadParameters(f"backend_parameters: --main-gpu {flags.main_gpu}: there are {count} devices")
    return (flags.main_gpu,) if count else ()


def _shares(flags: Flags, devices: Sequence[Device], used: Sequence[int]) -> list[float]:
    """Cumulative, the last one 1, in the single precision of the original."""
    if len(flags.split) > max(len(devices), 1):
        raise BadParameters(
            f"backend_parameters: --tensor-split has {len(flags.split)} shares for {len(devices)} devices"
        )
    weights = [float(share) for share in flags.split] + [0.0] * (len(devices) - len(flags.split))
    if not flags.split or flags.split_mode == "none":
        weights = [
            float(device.memory_bytes if device.free_bytes is None else device.free_bytes)
            for device in devices
        ]
    total = 0.0
    sums = []
    for rank in used:
        total = _float32(total + _float32(weights[rank]))
        sums.append(total)
    return [_float32(part / total) if total else 1.0 for part in sums]


def _float32(number: float) -> float:
    value: float = struct.unpack("f", struct.pack("f", number))[0]
    return value


@dataclass(frozen=True, slots=True)
class Weights:
    devices: dict[int, int]
    """Padded bytes by rank."""
    host: int
    repacked: int
    """Of the host's: what the CPU keeps in an order of its own, and so in anonymous memory."""
    largest_foreign_bytes: int
    """The largest matrix of a layer on the host: it travels to a device that computes with it."""


def weights(
    facts: GgufFacts, shape: Shape, placement: Placement, flags: Flags, repackable: Iterable[str]
) -> Weights:
    """`repackable` are the types that the build repacks; it does so only where no device shares the host."""
    on_devices = dict.fromkeys(placement.devices, 0)
    host = repacked = largest = 0
    types = tuple(repackable) if flags.repack and not placement.devices else ()
    tied = not shape.is_encoder and not any(group.role == "output" for group in facts.groups)
    for group in facts.groups:
        if group.layer is not None and not _runs(group.layer, shape):
            continue
        for where in _places(group, placement, tied):
            if where == HOST:
                host += group.weight_bytes
                repacked += sum(group.repackable_bytes.get(name, 0) for name in types)
                if group.layer is not None:
                    largest = max(largest, group.largest_tensor_bytes)
            else:
                on_devices[where] += group.padded_bytes
    return Weights(on_devices, host, repacked, largest)


def _runs(layer: int, shape: Shape) -> bool:
    return layer < len(shape.layers)


def _places(group: TensorGroup, placement: Placement, tied: bool) -> list[int]:
    """Where its tensors lie: twice for embeddings that are the output layer, too."""
    if group.layer is not None:
        place = placement.layers[group.layer]
        return [HOST] if group.role == "experts" and group.layer < placement.cpu_moe_layers else [place]
    if group.role in ("output", "output_other"):
        return [placement.output]
    if group.role == "token_embd":
        twice = tied and bool(placement.devices)
        return [HOST, placement.output] if twice else [HOST]
    if group.role == "rope":
        return sorted(set(placement.layers))
    return [HOST]
