"""Files that a stranger wrote: facts come out, or one clear error, whatever is in them."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelyard_models.facts import facts_from_files
from modelyard_models.files import BadModel, ModelFiles
from real_models import models

NAMES = (
    "README.md",
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model_index.json",
    "modules.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "config_sentence_transformers.json",
    "preprocessor_config.json",
    "configuration.json",
    "hf_quant_config.json",
    "adapter_config.json",
)
KEYS = (
    "architectures", "auto_map", "block_configs", "chat_template", "config_groups", "dtype", "id2label",
    "layer_types", "metadata", "model_type", "quantization", "quantization_config", "rope_scaling", "shape",
    "text_config", "total_parameters", "total_size", "vision_config", "weight_map", "_class_name", "template",
    "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=12)
LISTS = st.lists(LEAVES, max_size=3) | st.lists(
    st.dictionaries(st.sampled_from(KEYS), LEAVES, max_size=2), max_size=2
)
OBJECTS = st.dictionaries(
    st.sampled_from(KEYS),
    LEAVES | LISTS | st.dictionaries(st.sampled_from(KEYS), LEAVES | LISTS, max_size=3),
    max_size=5,
)
CONFIGS = [row["config"] for row in models().values() if row.get("config")]
SLOW = settings(suppress_health_check=[HealthCheck.too_slow])


def read(texts: dict[str, bytes]) -> None:
    sizes = {name: len(text) for name, text in texts.items()}
    try:
        facts_from_files(ModelFiles("org/model", None, sizes, texts))
    except BadModel as error:
        assert str(error)


@SLOW
@given(
    st.dictionaries(st.sampled_from(NAMES), OBJECTS.map(lambda value: json.dumps(value).encode()), max_size=5)
)
def test_objects_of_any_kind_are_read_or_refused(texts: dict[str, bytes]) -> None:
    read(texts)


@SLOW
@given(st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=200), max_size=4))
def test_bytes_of_any_kind_are_read_or_refused(texts: dict[str, bytes]) -> None:
    read(texts)


@SLOW
@given(st.sampled_from(CONFIGS), OBJECTS)
def test_a_real_config_with_anything_in_it_is_read_or_refused(
    config: dict[str, Any], changes: dict[str, Any]
) -> None:
    read({"config.json": json.dumps({**config, **changes}).encode()})


@pytest.mark.parametrize("depth", [99, 101, 900, 100_000])
def test_headers_that_are_nested_deeply_are_read_or_refused(depth: int) -> None:
    read({"model.safetensors": b'{"a":' * depth + b"1" + b"}" * depth})


def test_a_header_of_many_tensors_is_counted() -> None:
    header = {f"t{at}": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]} for at in range(50_000)}
    text = json.dumps(header).encode()
    facts = facts_from_files(ModelFiles("m", None, {"model.safetensors": 1}, {"model.safetensors": text}))
    assert facts.parameters == 300_000
