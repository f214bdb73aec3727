"""Classes of models and what they do (`data/architectures.json`)."""

import json
from functools import cache
from importlib.resources import files
from typing import Any


def hugging_face_classes() -> dict[str, str]:
    table: dict[str, str] = _tables()["architectures"]
    return table


def gguf_architectures() -> dict[str, str]:
    table: dict[str, str] = _tables()["gguf"]
    return table


def pipelines() -> dict[str, str]:
    table: dict[str, str] = _tables()["diffusers"]
    return table


@cache
def multimodal_classes() -> frozenset[str]:
    return frozenset(_tables()["multimodal"])


@cache
def _tables() -> dict[str, Any]:
    text = files("modelyard_models").joinpath("data/architectures.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables
