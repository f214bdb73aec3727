"""Facts of real repositories, from the values of their metadata."""

import pytest
from model_repositories import described, files_of, real
from modelyard_contracts.deployments import Category
from modelyard_contracts.models import ModelFormat
from modelyard_models.facts import facts_from_files
from modelyard_models.files import BadModel
from real_models import models

NAMES = [name for name, row in models().items() if row.get("config", {}).get("architectures")]
OTHERS = {
    "bge-m3": Category.EMBEDDING,
    "BAAI/bge-reranker-v2-m3": Category.RERANKER,
    "openai/whisper-large-v3": Category.SPEECH_TO_TEXT,
}
SCALED = {"bge-m3": 8192, "openai/whisper-large-v3": 448}


@pytest.mark.parametrize("name", NAMES)
def test_category_parameters_and_context_of_real_models_are_right(name: str) -> None:
    facts, row = real(name), models()[name]
    assert facts.category == OTHERS.get(name, Category.LLM), facts.category_rule
    assert facts.category_rule
    computed, config = row.get("computed", {}), row["config"]
    if text := computed.get("params_text_b"):
        assert facts.parameters is not None
        total = text + computed["params_vision_b_estimate"]
        assert facts.parameters / 1e9 == pytest.approx(total, rel=0.025)
    part = next((config[key] for key in ("text_config", "text") if key in config), config)
    if named := part.get("max_position_embeddings"):
        assert facts.context_length == SCALED.get(name, named)


def test_more_than_forty_real_models_are_known() -> None:
    assert sum("params_text_b" in models()[name].get("computed", {}) for name in NAMES) > 40


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656),
        ("openai/whisper-large-v3", 3_087_130_976 // 2),
        ("bge-m3", 2_271_145_830 // 4),
    ],
)
def test_parameters_that_are_published_are_found(name: str, parameters: int) -> None:
    assert real(name).parameters == pytest.approx(parameters, rel=0.005)


def test_the_card_tells_licence_and_languages() -> None:
    card = """---
license: apache-2.0
language:
- en
- zh
pipeline_tag: text-generation
tags: [chat, moe]
---
# Model"""
    facts = described("org/model", {"config.json": {}}, {"model.safetensors": 1}, {"README.md": card})
    assert (facts.license, facts.languages) == ("apache-2.0", ("en", "zh"))
    assert facts.category_rule == "the hub says text-generation"
    assert described("org/model", {}, texts={"README.md": "# No card"}).license is None


def test_the_hubs_tags_fill_what_the_card_leaves_out() -> None:
    facts = described("org/model", {"config.json": {}}, tags=("license:mit", "fr", "transformers"))
    assert (facts.license, facts.languages) == ("mit", ("fr",))


def test_a_chat_template_tells_of_tools_and_reasoning() -> None:
    template = "{% if tools %}<tool_call>{% endif %}{% if enable_thinking %}<think>{% endif %}"
    for objects, texts in (
        ({"tokenizer_config.json": {"chat_template": template}}, {}),
        ({"tokenizer_config.json": {"chat_template": [{"name": "tool_use", "template": template}]}}, {}),
        ({}, {"chat_template.jinja": template}),
    ):
        facts = described("org/model", {"config.json": {}, **objects}, texts=texts)
        assert facts.tools
        assert facts.reasoning
    plain = described("org/model", {"tokenizer_config.json": {"chat_template": "{{ messages }}"}})
    assert not plain.tools
    assert not plain.reasoning


def test_modalities_follow_the_towers() -> None:
    assert real("Qwen/Qwen3-VL-8B-Instruct").modalities == ("text", "image")
    assert real("Qwen/Qwen3-8B").modalities == ("text",)
    assert real("openai/whisper-large-v3").modalities == ("audio", "text")


def test_quantization_in_a_file_of_its_own_is_found() -> None:
    own = {"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}
    facts = described("nvidia/model", {"config.json": {"model_type": "llama"}, "hf_quant_config.json": own})
    assert facts.quantization == "nvfp4"


def test_headers_are_counted_where_the_config_tells_nothing() -> None:
    header = {"a": {"dtype": "BF16", "shape": [10, 20], "data_offsets": [0, 400]}, "__metadata__": {}}
    facts = described("org/model", {"model.safetensors": header}, {"model.safetensors": 500})
    assert facts.parameters == 200
    assert facts.format is ModelFormat.SAFETENSORS


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"model.safetensors": {"a": {"dtype": "F16", "shape": [-1]}}}, "model.safetensors: tensor 'a'"),
        ({"model.safetensors": {"a": {"dtype": "F16", "shape": [2**55, 2**55]}}}, "claims"),
        ({"model.safetensors": {"a": 3}}, "has no shape"),
    ],
)
def test_a_hostile_header_is_refused_with_the_files_name(objects: dict[str, object], message: str) -> None:
    with pytest.raises(BadModel, match=message):
        facts_from_files(files_of("org/model", objects))


@pytest.mark.parametrize(
    "text", ["[" * 10_000, '{"a":' * 10_000, '{"a":' * 500 + "1" + "}" * 500, "{", "[]", ""]
)
def test_a_hostile_config_is_refused_with_the_files_name(text: str) -> None:
    with pytest.raises(BadModel, match=r"config\.json"):
        facts_from_files(files_of("org/model", texts={"config.json": text}))
