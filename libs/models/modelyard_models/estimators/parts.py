"""Parts of an estimate: bytes in units people read, margins, and how sure one can be."""

from collections.abc import Sequence

from modelyard_models.need import Confidence, Part

GIB = 1024**3
MARGINS = {
    Confidence.EXACT: (0.0, 0),
    Confidence.HIGH: (0.03, GIB // 2),
    Confidence.MEDIUM: (0.06, GIB // 2),
    Confidence.LOW: (0.15, GIB),
}
"""Of what is not KV cache: a share of it, and the least."""


def part(name: str, size: float, note: str = "") -> Part:
    return Part(name=name, bytes=max(0, round(size)), note=note)


def margin_bytes(parts: Sequence[Part], confidence: Confidence) -> int:
    """KV cache is exact by its formula, so it needs none."""
    share, least = MARGINS[confidence]
    fixed = sum(one.bytes for one in parts if one.name != "kv_cache")
    return max(int(share * fixed), least)


def gib(size: float) -> str:
    return f"{size / GIB:.2f} GiB"
