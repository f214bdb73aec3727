"""What a backend cuts into equal parts when it shards a model: read from `config.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard_contracts.models import ModelFacts

TEXT = ("llm_config", "text_config", "thinker_config")
VISION = ("vision_config", "vision_encoder_config")
TEXT_ONLY = frozenset({"--language-model-only", "--language-only"})


def dimensions(model: ModelFacts | None, arguments: Sequence[str]) -> dict[str, int]:
    """By the name that a person would know: what the count of devices must divide, as far as it is known."""
    config = model.config if model and model.config else {}
    text = _text_of(config)
    found = {
        "attention heads": text.get("num_attention_heads"),
        "vocabulary": text.get("vocab_size", config.get("vocab_size")),
    }
    if not TEXT_ONLY.intersection(arguments):
        found["vision heads"] = _vision_heads(config)
    return {name: size for name, size in found.items() if isinstance(size, int) and size > 0}


def undivided(sizes: Mapping[str, int], count: int) -> str | None:
    """What `count` does not divide, for people; None if it divides all."""
    for name, size in sizes.items():
        if size % count:
            return f"{size} {name}" if name != "vocabulary" else f"a vocabulary of {size}"
    return None


def _text_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in TEXT:
        inner = config.get(name)
        if isinstance(inner, dict):
            return _text_of(inner) if name == "thinker_config" else inner
    return config


def _vision_heads(config: Mapping[str, Any]) -> int | None:
    for name in VISION:
        vision = config.get(name)
        if not isinstance(vision, dict):
            continue
        heads = vision.get("num_attention_heads", vision.get("num_heads"))
        extra = vision.get("num_dummy_heads", 0)
        return heads + extra if isinstance(heads, int) and isinstance(extra, int) else None
    return None
