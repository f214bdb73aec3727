"""What is read of a model at its source, before anything is known of it: names, sizes and small files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard_contracts.models import GgufFacts

MOST_DEPTH = 100


class BadModel(ValueError):
    """The metadata of a model cannot be read or contradicts itself; the message names the file."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A repository or directory at one revision, and what was read of it: never the weights."""

    location: str
    """As `DeploymentSpec.location()` says it."""
    revision: str | None
    """The commit that was read, where the source has such."""
    sizes: Mapping[str, int]
    """Every file with its bytes, by its path in the repository."""
    texts: Mapping[str, bytes] = field(default_factory=dict)
    """Small files, by path: `config.json`, `*.safetensors.index.json`, README.md and the like. Of a
    `.safetensors` file, its header alone (JSON)."""
    headers: Mapping[str, GgufFacts] = field(default_factory=dict)
    """GGUF headers by path: of every shard of the chosen model, and of its projector."""
    chosen: tuple[str, ...] = ()
    """The GGUF shards that would be loaded, the first one first; empty for other formats."""
    projector: str | None = None
    """The multimodal projector (`mmproj`) that goes with the chosen GGUF."""
    task: str | None = None
    """The hub's own word for what the model does, as `text-generation`."""
    tags: tuple[str, ...] = ()
    """The hub's tags, as `license:apache-2.0`, `en`, `sentence-transformers`."""

    def json(self, name: str) -> dict[str, Any] | None:
        """The object in a file that was read; None if it was not. Raises `BadModel`."""
        text = self.texts.get(name)
        return None if text is None else parse_object(text, name)


def parse_object(text: bytes, name: str) -> dict[str, Any]:
    """Raises `BadModel` if `text` is no JSON object, or one nested beyond all measure."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise BadModel(f"{name} is nested too deeply") from error
    except ValueError as error:
        raise BadModel(f"{name} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadModel(f"{name} holds no JSON object")
    _check_depth(value, name)
    return value


def _check_depth(value: Any, name: str) -> None:
    """What reads it later may recurse."""
    level = [value]
    for _ in range(MOST_DEPTH):
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [one for values in inner for one in values if isinstance(one, dict | list)]
        if not level:
            return
    raise BadModel(f"{name} is nested more than {MOST_DEPTH} deep")
