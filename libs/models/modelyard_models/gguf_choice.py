"""Which of a repository's GGUF files to take for the memory at hand. Pure."""

import re
from collections.abc import Iterable, Mapping

GOOD = (
    "Q4_K_M",
    "IQ4_XS",
    "IQ4_NL",
    "Q4_K_S",
    "MXFP4",
    "Q4_0",
    "Q4_1",
    "Q4_K_XL",
    "Q4_K",
    "Q5_K_M",
    "Q5_K_S",
    "Q5_0",
    "Q5_1",
    "Q5_K",
    "Q5_K_XL",
    "Q6_K",
    "Q6_K_XL",
    "Q8_0",
    "F16",
    "BF16",
    "F32",
)
"""Quantisations that lose little, with the usual choice first."""
LOSSY = (
    "Q3_K_XL",
    "Q3_K_L",
    "Q3_K_M",
    "IQ3_M",
    "IQ3_S",
    "Q3_K_S",
    "IQ3_XS",
    "IQ3_XXS",
    "Q2_K_XL",
    "Q2_K",
    "IQ2_M",
    "IQ2_S",
)
"""Better than nothing, from the best down."""
NAMED = re.compile(
    r"(?<![A-Z0-9])((?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|MXFP4|BF16|F16|F32))(?![A-Z0-9])", re.IGNORECASE
)
REST = 0.85
"""Of the memory, for weights: cache and buffers have what is left."""


def quantization_in(name: str) -> str | None:
    """As a file's name has it: `model-Q4_K_M-00001-of-00002.gguf`."""
    found = NAMED.findall(name.rpartition("/")[2].removesuffix(".gguf")) or NAMED.findall(name)
    return found[-1].upper().removeprefix("UD-") if found else None


def smallest_good(
    shards: Iterable[tuple[str, ...]], sizes: Mapping[str, int], memory_bytes: int | None = None
) -> tuple[str, ...]:
    """Of models, each the names of its shards: the smallest that loses little, if it fits; else the best that
    does fit, else the smallest there is. Empty where there is none. Without `memory_bytes` all fit."""
    models = {parts: sum(sizes.get(part, 0) for part in parts) for parts in shards}
    room = None if memory_bytes is None else memory_bytes * REST
    fitting = {parts: size for parts, size in models.items() if room is None or size <= room}
    good = [parts for parts in fitting if _rank(parts[0], GOOD) < len(GOOD)]
    if good:
        return min(good, key=lambda parts: (fitting[parts], _rank(parts[0], GOOD), parts))
    if fitting:
        return min(fitting, key=lambda parts: (_rank(parts[0], LOSSY), -fitting[parts], parts))
    return min(models, key=lambda parts: (models[parts], parts), default=())


def _rank(name: str, names: tuple[str, ...]) -> int:
    quantization = quantization_in(name)
    return names.index(quantization) if quantization in names else len(names)
