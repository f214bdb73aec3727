"""Repositories as their hubs list them: names, sizes and small files, without weights."""

import json
from typing import Any

from modelyard_contracts.models import ModelFacts
from modelyard_models.facts import facts_from_files
from modelyard_models.files import ModelFiles
from real_models import models

Json = dict[str, Any]
CAUSAL: Json = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}


def files_of(
    name: str,
    objects: Json | None = None,
    sizes: dict[str, int] | None = None,
    texts: dict[str, str] | None = None,
    task: str | None = None,
    tags: tuple[str, ...] = (),
) -> ModelFiles:
    """`objects` are JSON files, `texts` others; `sizes` what else there is."""
    contents = {path: json.dumps(value).encode() for path, value in (objects or {}).items()}
    contents |= {path: text.encode() for path, text in (texts or {}).items()}
    listed = {path: len(content) for path, content in contents.items()}
    return ModelFiles(name, "main", {**listed, **(sizes or {})}, contents, task=task, tags=tags)


def described(name: str, *args: Any, **kwargs: Any) -> ModelFacts:
    return facts_from_files(files_of(name, *args, **kwargs))


def real(name: str) -> ModelFacts:
    """A model of `data/hugging_face`, with the files that are known of it."""
    row = models()[name]
    if size := row.get("pytorch_model_bin_bytes"):
        sizes = {"pytorch_model.bin": size}
    else:
        sizes = {"model.safetensors": row.get("safetensors_total_bytes") or row.get("bytes") or 0}
    return described(name, {"config.json": row.get("config") or {}}, sizes)
