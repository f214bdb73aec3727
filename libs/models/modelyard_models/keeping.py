"""What of a model's facts the log keeps: what estimates and choices need, within the size of an event."""

import json
from typing import Any

from modelyard_contracts.models import GgufFacts, ModelFacts

MOST_BYTES = 160 << 10
"""Of the facts as JSON; the log keeps events of up to 256 KiB."""
LONGEST_VALUE = 2048
"""Of a GGUF entry; longer ones are templates and vocabularies."""
MOST_CHOICES = 200
LABELS = ("id2label", "label2id", "task_specific_params")


def kept(facts: ModelFacts) -> ModelFacts:
    """Without templates and label lists; then without the largest entries of the config until it fits."""
    slim = facts.model_copy(
        update={
            "choices": facts.choices[:MOST_CHOICES],
            "config": _without_labels(facts.config),
            "gguf": _without_texts(facts.gguf),
            "projector": _without_texts(facts.projector),
        }
    )
    config = dict(slim.config or {})
    while config and len(slim.model_dump_json()) > MOST_BYTES:
        del config[max(config, key=lambda key: len(json.dumps(config[key])))]
        slim = slim.model_copy(update={"config": config})
    return slim


def _without_labels(config: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if config is None else {key: value for key, value in config.items() if key not in LABELS}


def _without_texts(gguf: GgufFacts | None) -> GgufFacts | None:
    if gguf is None:
        return None
    metadata = {key: value for key, value in gguf.metadata.items() if len(json.dumps(value)) <= LONGEST_VALUE}
    return gguf.model_copy(update={"metadata": metadata})
