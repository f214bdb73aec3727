"""Numbers out of a `config.json`, which is data that a stranger wrote."""

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]

LARGEST = 1 << 40
TEXT_PARTS = ("text_config", "text", "llm_config", "language_config", "thinker_config", "decoder")


def text_part(config: Config) -> Config:
    """The language model of a multimodal model, else the whole; what only the whole says is added."""
    for name in TEXT_PARTS:
        part = config.get(name)
        if isinstance(part, dict) and part:
            inner = text_part(part)
            shared = ("quantization_config", "torch_dtype", "dtype", "tie_word_embeddings", "architectures")
            shared = (*shared, *(() if part.get("model_type") else ("model_type",)))
            return {**{key: config[key] for key in shared if key in config}, **inner}
    return config


def integer(config: Config, *names: str) -> int | None:
    """The first of these that is a positive whole number of sensible size."""
    for name in names:
        value = config.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if 0 < value <= LARGEST and value == int(value):
            return int(value)
    return None


def fraction(config: Config, name: str) -> float | None:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < LARGEST else None


def flag(config: Config, name: str, default: bool = False) -> bool:
    value = config.get(name)
    return value if isinstance(value, bool) else default


def text(config: Config, name: str) -> str:
    value = config.get(name)
    return value if isinstance(value, str) else ""


def items(config: Config, name: str) -> list[Any]:
    value = config.get(name)
    return value if isinstance(value, list) else []


def section(config: Config, name: str) -> Config:
    value = config.get(name)
    return value if isinstance(value, dict) else {}
