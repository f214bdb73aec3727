"""Tensors of safetensors files, from an index or from headers: bytes that a stranger wrote."""

import math
from typing import Any

from modelyard_models.files import BadModel, ModelFiles

MOST_ELEMENTS = 1 << 56
MOST_DIMENSIONS = 16


def counted_parameters(files: ModelFiles, names: tuple[str, ...]) -> int | None:
    """Of 16- and 32-bit tensors in the headers that were read; None if a header is missing, or tensors are
    packed, where elements are no parameters. Raises `BadModel`."""
    total = 0
    for name in names:
        header = files.json(name) if name.endswith(".safetensors") else None
        if header is None:
            return _indexed_parameters(files)
        for tensor, said in header.items():
            if tensor == "__metadata__":
                continue
            elements, is_packed = _elements(name, tensor, said)
            if is_packed:
                return None
            total += elements
    return total or None


def _indexed_parameters(files: ModelFiles) -> int | None:
    index = files.json("model.safetensors.index.json") or {}
    metadata = index.get("metadata")
    said = metadata.get("total_parameters") if isinstance(metadata, dict) else None
    return said if isinstance(said, int) and not isinstance(said, bool) and 0 < said < MOST_ELEMENTS else None


def _elements(file: str, tensor: str, said: Any) -> tuple[int, bool]:
    """How many, and whether they are packed, several parameters to one."""
    shape = said.get("shape") if isinstance(said, dict) else None
    if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS:
        raise BadModel(f"{file}: tensor {tensor[:80]!r} has no shape")
    if not all(type(size) is int and 0 <= size < MOST_ELEMENTS for size in shape):
        raise BadModel(f"{file}: tensor {tensor[:80]!r} has a shape of no size")
    elements = math.prod(shape)
    if elements > MOST_ELEMENTS:
        raise BadModel(f"{file}: tensor {tensor[:80]!r} claims {elements} elements")
    return elements, str(said.get("dtype")) not in ("BF16", "F16", "F32", "F64")
