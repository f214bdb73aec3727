"""Which of a repository's GGUF files to take for the memory at hand. Pure."""

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from modelyard_contracts.models import GgufChoice

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


class Chosen(NamedTuple):
    choice: GgufChoice
    why: str
    """For people."""


def quantization_in(name: str) -> str | None:
    """As a file's name has it: `model-Q4_K_M-00001-of-00002.gguf`."""
    found = NAMED.findall(name.rpartition("/")[2].removesuffix(".gguf")) or NAMED.findall(name)
    return found[-1].upper().removeprefix("UD-") if found else None


def smallest_good(
    choices: Collection[GgufChoice], fits: Callable[[GgufChoice], bool] | None = None
) -> Chosen:
    """The smallest that loses little, if it fits; else the best that does fit, else the smallest there is.
    Without `fits` nothing is known of the room."""
    good = [one for one in choices if _rank(one.file, GOOD) < len(GOOD)]
    first = min(good, key=lambda one: (one.bytes, _rank(one.file, GOOD), one.file), default=None)
    if first is not None and (fits is None or fits(first)):
        return Chosen(first, "the smallest that loses little")
    others = [one for one in choices if one not in good]
    for one in sorted(others, key=lambda one: (_rank(one.file, LOSSY), -one.bytes, one.file)):
        if fits is None or fits(one):
            return Chosen(one, _instead_of(first) if first else "the best that there is room for")
    least = min(choices, key=lambda one: (one.bytes, one.file))
    return Chosen(least, "the smallest there is, though there is no room for it now")


def _instead_of(first: GgufChoice) -> str:
    return (
        f"the best that there is room for: there is none for {first.file} ({first.bytes / 1024**3:.1f} GiB)"
    )


def _rank(name: str, names: tuple[str, ...]) -> int:
    quantization = quantization_in(name)
    return names.index(quantization) if quantization in names else len(names)
