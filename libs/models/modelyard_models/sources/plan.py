"""Which files of a model are read, and no others: the same list at a hub, here, and on a worker. Pure."""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard_models.gguf_files import choose_model, models_in, projector_in

TEXTS = (
    "README.md",
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "adapter_config.json",
    "quantize_config.json",
    "quantization_config.json",
    "hf_quant_config.json",
    "params.json",
    "modules.json",
    "config_sentence_transformers.json",
    "model_index.json",
    "configuration.json",
    "*.safetensors.index.json",
    "*/config.json",
    "*/*.safetensors.index.json",
)
WEIGHTS = (".gguf", ".safetensors")
"""Only their headers are read."""
MOST_TEXTS = 64


@dataclass(frozen=True, slots=True)
class Plan:
    texts: tuple[str, ...]
    chosen: tuple[str, ...]
    """The shards of a GGUF model."""
    projector: str | None
    safetensors: tuple[str, ...]
    """Files whose header tells what no index does."""


def is_readable(path: str) -> bool:
    """Whether any of a file may be read."""
    return _is_text(path) or path.endswith(WEIGHTS)


def plan_of(repo: str, sizes: Mapping[str, int], pattern: str | None) -> Plan:
    """`pattern`: the GGUF file or glob that is meant. Without it, safetensors win over GGUF files beside
    them. Raises `NoSuchFile`."""
    others = any(name.endswith(".safetensors") for name in sizes)
    texts = tuple(sorted(name for name in sizes if _is_text(name))[:MOST_TEXTS])
    if pattern or (models_in(sizes) and not others):
        chosen = choose_model(repo, sizes, pattern)
        return Plan(texts, chosen, projector_in(sizes, chosen[0]), ())
    return Plan(texts, (), None, _without_index(sizes))


def _without_index(sizes: Mapping[str, int]) -> tuple[str, ...]:
    if any(name.endswith(".safetensors.index.json") and "/" not in name for name in sizes):
        return ()
    return tuple(sorted(name for name in sizes if name.endswith(".safetensors") and "/" not in name)[:4])


def _is_text(path: str) -> bool:
    """A `*` here never crosses a slash."""
    return any(
        path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern) for pattern in TEXTS
    )
