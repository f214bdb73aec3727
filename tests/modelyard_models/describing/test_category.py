"""The traps in telling what a model is for."""

import pytest
from model_repositories import CAUSAL, Json, described
from modelyard_contracts.deployments import Category
from modelyard_contracts.models import GgufFacts
from modelyard_models.describing.tables import hugging_face_classes
from modelyard_models.facts import facts_from_files
from modelyard_models.files import ModelFiles

POOLING: Json = {"1_Pooling/config.json": {"pooling_mode_lasttoken": True}, "modules.json": {}}


def classed(name: str, **more: object) -> Json:
    return {"config.json": {"architectures": [name], **more}}


@pytest.mark.parametrize(
    ("name", "objects", "more", "category"),
    [
        ("Qwen/Qwen3-8B", {"config.json": CAUSAL}, {}, Category.LLM),
        ("Qwen/Qwen3-Embedding-8B", {"config.json": CAUSAL, **POOLING}, {}, Category.EMBEDDING),
        ("org/renamed", {"config.json": CAUSAL, **POOLING}, {}, Category.EMBEDDING),
        ("Qwen/Qwen3-Reranker-8B", {"config.json": CAUSAL}, {}, Category.RERANKER),
        ("org/renamed", {"config.json": CAUSAL}, {"task": "text-ranking"}, Category.RERANKER),
        ("Qwen/Qwen2.5-7B-Instruct", classed("Qwen2ForCausalLM"), {}, Category.LLM),
        ("meta/Llama-3", classed("LlamaForCausalLM"), {"task": "text-generation"}, Category.LLM),
        ("BAAI/bge-reranker-v2-m3", classed("XLMRobertaForSequenceClassification"), {}, Category.RERANKER),
        (
            "cross-encoder/ms-marco",
            classed("BertForSequenceClassification", id2label={"0": "LABEL_0"}),
            {},
            Category.RERANKER,
        ),
        (
            "org/sentiment",
            classed("BertForSequenceClassification", id2label={"0": "no", "1": "yes"}),
            {},
            Category.UNKNOWN,
        ),
        ("org/colbert", classed("ColBERTModernBertModel"), {}, Category.EMBEDDING),
        ("org/jina", classed("JinaVLForRanking"), {}, Category.RERANKER),
        ("openai/whisper-large-v3", classed("WhisperForConditionalGeneration"), {}, Category.SPEECH_TO_TEXT),
        ("suno/bark", classed("BarkModel"), {}, Category.TEXT_TO_SPEECH),
        ("org/eagle", classed("EagleLlamaForCausalLM"), {}, Category.UNKNOWN),
        ("org/novel", classed("NovelThing", auto_map={"AutoModel": "x.Y"}), {}, Category.UNKNOWN),
        ("org/novel", classed("NovelForCausalLM", auto_map={"AutoModel": "x.Y"}), {}, Category.UNKNOWN),
        (
            "org/novel",
            classed("NovelForCausalLM", auto_map={}),
            {"task": "text-generation"},
            Category.LLM,
        ),
        ("org/model", {"model_index.json": {"_class_name": "FluxPipeline"}}, {}, Category.IMAGE),
        ("org/model", {"model_index.json": {"_class_name": "NewPipeline"}}, {}, Category.IMAGE),
        ("org/model", {"model_index.json": {"_class_name": "WanPipeline"}}, {}, Category.UNKNOWN),
        (
            "Systran/faster-whisper-large-v3",
            {"config.json": {"suppress_ids": []}},
            {"sizes": {"model.bin": 3_087_284_237, "vocabulary.json": 1}},
            Category.SPEECH_TO_TEXT,
        ),
        (
            "FunAudioLLM/SenseVoiceSmall",
            {"configuration.json": {"task": "auto-speech-recognition"}},
            {},
            Category.SPEECH_TO_TEXT,
        ),
        (
            "FunAudioLLM/CosyVoice2",
            {},
            {"sizes": {"cosyvoice2.yaml": 1, "llm.pt": 9}},
            Category.TEXT_TO_SPEECH,
        ),
        (
            "org/ce",
            {
                "config.json": {"architectures": ["ModernBertModel"]},
                "config_sentence_transformers.json": {"model_type": "CrossEncoder"},
            },
            {},
            Category.RERANKER,
        ),
        (
            "org/lora",
            {"adapter_config.json": {"r": 16}},
            {"sizes": {"adapter_model.safetensors": 9}},
            Category.UNKNOWN,
        ),
    ],
)
def test_the_category_and_a_rule_are_found(name: str, objects: Json, more: Json, category: Category) -> None:
    facts = described(name, objects, **more)
    assert facts.category == category, facts.category_rule
    assert facts.category_rule


@pytest.mark.parametrize(
    ("architecture", "metadata", "category"),
    [
        ("llama", {}, Category.LLM),
        ("bert", {}, Category.EMBEDDING),
        ("bert", {"bert.pooling_type": 4}, Category.RERANKER),
        ("qwen3", {"qwen3.pooling_type": 3}, Category.EMBEDDING),
        ("qwen3", {"qwen3.pooling_type": 4}, Category.RERANKER),
        ("llama", {"llama.attention.causal": False}, Category.EMBEDDING),
        ("qwen3tts", {}, Category.TEXT_TO_SPEECH),
        ("clip", {"general.type": "projector"}, Category.UNKNOWN),
        ("eagle3", {}, Category.UNKNOWN),
        ("novel", {}, Category.LLM),
    ],
)
def test_gguf_headers_tell_the_category(architecture: str, metadata: Json, category: Category) -> None:
    header = GgufFacts(
        metadata={"general.architecture": architecture, **metadata},
        parameters=7,
        vocabulary_size=10,
        groups=(),
    )
    files = ModelFiles("org/m/m.gguf", None, {"m.gguf": 9}, {}, {"m.gguf": header}, ("m.gguf",))
    facts = facts_from_files(files)
    assert facts.category == category, facts.category_rule


def test_classes_that_generate_are_models_of_language_unless_more_is_known() -> None:
    for name, said in hugging_face_classes().items():
        if name.endswith(("ForCausalLM", "ForConditionalGeneration")) and said in ("llm", "embedding"):
            assert described("org/plain", classed(name)).category == Category.LLM, name
