"""Parts of an estimate: bytes in units people read, margins, and how sure one can be."""

from collections.abc import Sequence

from modelyard_models.need import Confidence, Part

GIB = 1024**3
MARGINS = {
    Confidence.EXACT: (0.0, 0),
    Confidence.HIGH: (0.03, GIB // 2),
    Confidence.MEDIUM: (0.03, GIB // 2),
    Confidence.LOW: (0.15, GIB),
}
"""Of what is not KV cache: a share of it, and the least."""
VARYING_SHARE = 0.25


def part(name: str, size: float, note: str = "") -> Part:
    return Part(name=name, bytes=max(0, round(size)), note=note)


def margin_bytes(parts: Sequence[Part], confidence: Confidence) -> int:
    """KV cache is exact by its formula, so it needs none. Activations of models with towers for images, and
    of cards that were not measured, vary more."""
    share, least = MARGINS[confidence]
    fixed = sum(one.bytes for one in parts if one.name != "kv_cache")
    varying = sum(one.bytes for one in parts if one.name == "activation")
    more = int(varying * VARYING_SHARE) if confidence is Confidence.MEDIUM else 0
    return max(int(share * fixed), least) + more


def gib(size: float) -> str:
    return f"{size / GIB:.2f} GiB"
