"""Tensors of a GGUF file: how many bytes they take, and which of them are placed together.

Types and sizes: ggml's `ggml-common.h` and `ggml.h`; roles: llama.cpp's `llama-arch.cpp` (b11434).
"""

import re
from collections.abc import Iterable
from math import prod
from typing import NamedTuple

from modelyard_contracts.models import TensorGroup

FILE_ALIGNMENT = 32
CUDA_ALIGNMENT = 128
CUDA_ROW_ELEMENTS = 512
REPACK_ROWS = 8


class TensorType(NamedTuple):
    name: str
    block_elements: int
    block_bytes: int


TYPES = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    9: TensorType("Q8_1", 32, 36),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    15: TensorType("Q8_K", 256, 292),
    16: TensorType("IQ2_XXS", 256, 66),
    17: TensorType("IQ2_XS", 256, 74),
    18: TensorType("IQ3_XXS", 256, 98),
    19: TensorType("IQ1_S", 256, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", 256, 110),
    22: TensorType("IQ2_S", 256, 82),
    23: TensorType("IQ4_XS", 256, 136),
    24: TensorType("I8", 1, 1),
    25: TensorType("I16", 1, 2),
    26: TensorType("I32", 1, 4),
    27: TensorType("I64", 1, 8),
    28: TensorType("F64", 1, 8),
    29: TensorType("IQ1_M", 256, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", 256, 54),
    35: TensorType("TQ2_0", 256, 66),
    39: TensorType("MXFP4", 32, 17),
    40: TensorType("NVFP4", 64, 36),
    41: TensorType("Q1_0", 128, 18),
    42: TensorType("Q2_0", 64, 18),
}

_LAYER = re.compile(r"(?:blk|v\.blk|a\.blk|enc\.blk|dec\.blk)\.(\d{1,4})\.")
_EXPERTS = re.compile(r"\.ffn_(?:up|down|gate|gate_up)_(?:ch)?exps")
_INPUT = ("position_embd.", "token_types.", "per_layer_token_embd.")
_OF_THE_OUTPUT = ("output", "cls", "dec.output_norm.", "enc.output_norm.", "dense_2.", "dense_3.")


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    """Elements along each dimension, rows (the contiguous ones) first."""
    type: TensorType

    @property
    def bytes(self) -> int:
        return prod(self.shape) // self.type.block_elements * self.type.block_bytes

    @property
    def padded_bytes(self) -> int:
        """In CUDA's buffers."""
        size = self.bytes
        beyond = self.shape[0] % CUDA_ROW_ELEMENTS
        if self.type.block_elements > 1 and beyond:
            missing = CUDA_ROW_ELEMENTS - beyond
            size += missing // self.type.block_elements * self.type.block_bytes
        return _aligned(size, CUDA_ALIGNMENT)


def _aligned(size: int, to: int) -> int:
    return -(-size // to) * to


def place_of(name: str) -> tuple[int | None, str]:
    """Layer and role of a tensor. What no rule names lies with the first layer."""
    found = _LAYER.match(name)
    if found:
        return int(found.group(1)), "experts" if _EXPERTS.search(name) else "dense"
    if name in ("token_embd.weight", "output.weight"):
        return None, name.removesuffix(".weight")
    if name.startswith(_INPUT):
        return None, "input"
    if name.startswith(_OF_THE_OUTPUT):
        return None, "output_other"
    return (None, "rope") if name.startswith("rope_") else (0, "dense")


class Grouping:
    """Sums tensors up, so that no table of them has to be kept."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int | None, str], TensorGroup] = {}
        self.parameters = 0

    def add(self, tensor: Tensor) -> None:
        layer, role = place_of(tensor.name)
        size = tensor.bytes
        self.parameters += prod(tensor.shape)
        repackable = {tensor.type.name: size} if _is_repackable(tensor, role) else {}
        self.add_group(
            TensorGroup(
                layer=layer,
                role=role,
                weight_bytes=_aligned(size, FILE_ALIGNMENT),
                padded_bytes=tensor.padded_bytes,
                largest_tensor_bytes=size,
                repackable_bytes=repackable,
            )
        )

    def add_group(self, group: TensorGroup) -> None:
        before = self._groups.get((group.layer, group.role))
        self._groups[group.layer, group.role] = group if before is None else _sum(before, group)

    def __len__(self) -> int:
        return len(self._groups)

    def groups(self) -> tuple[TensorGroup, ...]:
        def order(group: TensorGroup) -> tuple[int, str]:
            return (-1 if group.layer is None else group.layer, group.role)

        return tuple(sorted(self._groups.values(), key=order))


def _sum(one: TensorGroup, other: TensorGroup) -> TensorGroup:
    repackable = dict(one.repackable_bytes)
    for name, size in other.repackable_bytes.items():
        repackable[name] = repackable.get(name, 0) + size
    return TensorGroup(
        layer=one.layer,
        role=one.role,
        weight_bytes=one.weight_bytes + other.weight_bytes,
        padded_bytes=one.padded_bytes + other.padded_bytes,
        largest_tensor_bytes=max(one.largest_tensor_bytes, other.largest_tensor_bytes),
        repackable_bytes=repackable,
    )


def merged(parts: Iterable[tuple[TensorGroup, ...]]) -> tuple[TensorGroup, ...]:
    """The groups of all shards."""
    grouping = Grouping()
    for groups in parts:
        for group in groups:
            grouping.add_group(group)
    return grouping.groups()


def _is_repackable(tensor: Tensor, role: str) -> bool:
    """Whether ggml's CPU repacking may take it: a matrix that is multiplied, eight rows at a time."""
    dimensions = 3 if role == "experts" else 2
    if tensor.type.block_elements == 1 or role in ("token_embd", "input"):
        return False
    return len(tensor.shape) == dimensions and tensor.shape[1] % REPACK_ROWS == 0
