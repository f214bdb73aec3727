"""Bytes of weights: of a checkpoint, and of each device that holds a part of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from modelyard_models.parallel import Parallel, stages
from modelyard_models.quantization import MXFP4, Quantization
from modelyard_models.shape.count import (
    Group,
    Role,
    Split,
    all_groups,
    draft_layer_groups,
    embedding_groups,
    encoder_groups,
    groups_of,
    head_groups,
)
from modelyard_models.shape.layers import Experts, LatentAttention, Shape, counted


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the files hold beside what the shape says they should."""

    scale: float
    """Real bytes of the language model's matrices for each one that the shape explains."""
    holds_drafts: bool
    """Whether layers for multi-token prediction are in the files."""
    error: float
    """How far the shape alone is from the files, as a share of them; 0 if their size is not known."""


def group_bytes(group: Group, shape: Shape, quantization: Quantization | None) -> float:
    if quantization is not None and group.role in quantization.roles:
        return group.elements * quantization.bytes_per_weight
    return group.elements * shape.bytes_per_weight


def bytes_of(groups: Iterable[Group], shape: Shape, quantization: Quantization | None) -> float:
    return sum(group_bytes(group, shape, quantization) for group in groups)


def checkpoint_of(shape: Shape, quantization: Quantization | None, weight_bytes: int) -> Checkpoint:
    """Compares the shape with the bytes of the files, as they are loaded."""
    base = bytes_of(all_groups(shape), shape, quantization)
    if weight_bytes <= 0 or base <= 0:
        return Checkpoint(1.0, False, 0.0)
    drafts = shape.draft_layers * bytes_of(draft_layer_groups(shape), shape, quantization)
    holds_drafts = drafts > 0 and abs(weight_bytes - base - drafts) < abs(weight_bytes - base)
    rest = weight_bytes - (drafts if holds_drafts else 0)
    return Checkpoint(rest / base, holds_drafts, abs(rest - base) / rest if rest > 0 else 1.0)


def draft_bytes(shape: Shape, quantization: Quantization | None, parallel: Parallel) -> float:
    """Of the layers for multi-token prediction, on the last stage. They share embeddings and head."""
    own = (group for group in draft_layer_groups(shape) if group.role is not Role.EMBEDDINGS)
    each = sum(group_bytes(group, shape, quantization) / _parts(group, parallel) for group in own)
    return shape.draft_layers * each


def stage_groups(shape: Shape, stage: int, parallel: Parallel) -> list[Group]:
    """What a pipeline stage holds. The vision tower is on the first one; tied embeddings are on both ends."""
    held = stages(len(shape.layers), parallel.pipeline)[stage]
    groups = groups_of((shape.layers[at] for at in held), shape.hidden)
    if stage == 0:
        groups += [*embedding_groups(shape), *encoder_groups(shape)]
    if stage == parallel.pipeline - 1:
        groups += head_groups(shape)
        if shape.is_tied and parallel.pipeline > 1:
            groups += embedding_groups(shape)
    return groups


def device_bytes(
    shape: Shape, quantization: Quantization | None, parallel: Parallel, stage: int, scale: float
) -> float:
    """Of one device of a stage, as loaded, without what the backend adds."""
    total = 0.0
    for group in stage_groups(shape, stage, parallel):
        total += group_bytes(group, shape, quantization) / _parts(group, parallel)
    return total * scale


def rope_bytes(shape: Shape) -> int:
    """Tables of rotary positions, on every device."""
    return shape.max_positions * shape.rope_dim * 2 * shape.rope_caches


def absorbed_bytes(shape: Shape, stage: int, parallel: Parallel) -> float:
    """Copies of the matrices that expand MLA's latent vector, kept beside the packed ones."""
    held = stages(len(shape.layers), parallel.pipeline)[stage]
    total = 0
    for layer, count in counted(shape.layers[at] for at in held):
        mixer = layer.mixer
        if isinstance(mixer, LatentAttention):
            total += count * mixer.heads * (mixer.nope_dim + mixer.value_dim) * mixer.latent_rank * 2
    return total / parallel.attention_tensor


def padding_bytes(
    shape: Shape, quantization: Quantization | None, parallel: Parallel, stage: int, kernel: str
) -> float:
    """What MXFP4 kernels add to expert weights: the hidden size is padded to 256, and a device's share of the
    experts' width to 128 (Marlin), or to 192 (Triton since v0.17); sources in `data/vllm.json`."""
    if quantization is None or quantization.name != MXFP4.name:
        return 0.0
    total = 0.0
    slices = parallel.expert_slices
    held_layers = stages(len(shape.layers), parallel.pipeline)[stage]
    for layer, count in counted(shape.layers[at] for at in held_layers):
        for one in layer.feed_forward:
            if isinstance(one, Experts):
                elements = count * one.count * 3 * shape.hidden * one.width
                held = elements * quantization.bytes_per_weight / parallel.expert
                total += held * (_padding(shape.hidden, one.width // slices, kernel) - 1)
    return total


def _padding(hidden: int, width: int, kernel: str) -> float:
    """By how much padded expert weights are larger. Triton pads values and not their scales."""
    wide = _up(hidden, 256) / hidden
    match kernel:
        case "marlin":
            return wide * _up(width, 128) / width
        case "triton":
            return 1 + (wide - 1) * 0.5 / MXFP4.bytes_per_weight
        case _:
            return (1 + (wide - 1) * 0.5 / MXFP4.bytes_per_weight) * _up(width, 192) / width


def _up(size: int, step: int) -> int:
    return -(-size // step) * step


def _parts(group: Group, parallel: Parallel) -> int:
    match group.split:
        case Split.NONE:
            return 1
        case Split.EXPERTS:
            return parallel.expert
        case Split.KV_HEADS:
            return min(parallel.attention_tensor, group.parts)
        case Split.TENSOR:
            return parallel.attention_tensor if group.role is Role.ATTENTION else parallel.tensor
