"""What speaks for a category: gathered once, judged by `category_of`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard_contracts.models import GgufFacts, ModelFormat

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Objects are those of the files of that name; empty where the model has none."""

    name: str
    format: ModelFormat
    config: Object = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    model_index: Object = field(default_factory=dict)
    sentence_transformers: Object = field(default_factory=dict)
    preprocessor: Object = field(default_factory=dict)
    configuration: Object = field(default_factory=dict)
    """ModelScope's `configuration.json`."""
    gguf: GgufFacts | None = None
    task: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def architectures(self) -> tuple[str, ...]:
        named = self.config.get("architectures")
        return tuple(str(one)[:120] for one in named[:8]) if isinstance(named, list) else ()
