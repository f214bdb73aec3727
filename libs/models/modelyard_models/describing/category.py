"""`category_of`: what a model is for, and the rule that decided. First the files, then the class that the
config names, then the hub's word, then the name."""

import re
from collections.abc import Callable

from modelyard_contracts.deployments import Category
from modelyard_contracts.models import ModelFormat

from modelyard_models.describing.evidence import Evidence
from modelyard_models.describing.tables import gguf_architectures, hugging_face_classes, pipelines
from modelyard_models.shape.reading import integer, section, text

Decided = tuple[Category, str]
GENERATES = re.compile(r"(ForCausalLM|ForConditionalGeneration|LMHeadModel)$")
CLASSIFIES = re.compile(r"ForSequenceClassification$")
LATE_INTERACTION = re.compile(r"^(HF_)?Col(BERT|Pali|Qwen|ModernVBert)|^HF_ColBERT")
RERANKS = re.compile(r"rerank|cross-?encoder", re.IGNORECASE)
EMBEDS = re.compile(r"embed|\bbge-|\be5-|\bgte-|sentence-t5", re.IGNORECASE)
HEARS = re.compile(r"whisper|\basr\b|paraformer|sensevoice", re.IGNORECASE)
SPEAKS = re.compile(r"\btts\b|cosyvoice|\bbark\b|kokoro|\bdia\b", re.IGNORECASE)
TASKS = {
    "text-generation": Category.LLM,
    "text2text-generation": Category.LLM,
    "image-text-to-text": Category.LLM,
    "video-text-to-text": Category.LLM,
    "audio-text-to-text": Category.LLM,
    "visual-question-answering": Category.LLM,
    "any-to-any": Category.LLM,
    "feature-extraction": Category.EMBEDDING,
    "sentence-similarity": Category.EMBEDDING,
    "text-ranking": Category.RERANKER,
    "text-to-image": Category.IMAGE,
    "image-to-image": Category.IMAGE,
    "text-to-image-synthesis": Category.IMAGE,
    "automatic-speech-recognition": Category.SPEECH_TO_TEXT,
    "auto-speech-recognition": Category.SPEECH_TO_TEXT,
    "text-to-speech": Category.TEXT_TO_SPEECH,
}
POOLING_RANKS = 4
"""llama.cpp's pooling types: 1 mean, 2 first, 3 last token, 4 rank."""
WORDS = {
    "llm": Category.LLM,
    "embedding": Category.EMBEDDING,
    "reranker": Category.RERANKER,
    "speech_to_text": Category.SPEECH_TO_TEXT,
    "text_to_speech": Category.TEXT_TO_SPEECH,
    "image": Category.IMAGE,
}


def category_of(evidence: Evidence) -> Decided:
    """Unknown is an answer: the operator may then name the category."""
    rules: tuple[Callable[[Evidence], Decided | None], ...] = (
        _gguf,
        _adapter,
        _pipeline,
        _sentence_transformer,
        _speech_files,
        _class,
        _task,
        _name,
    )
    for rule in rules:
        decided = rule(evidence)
        if decided is not None:
            return decided
    if evidence.format in (ModelFormat.SAFETENSORS, ModelFormat.PYTORCH) and not evidence.config.get(
        "auto_map"
    ):
        return Category.LLM, "nothing says otherwise"
    return Category.UNKNOWN, "nothing tells what it is for: name the category"


def _gguf(evidence: Evidence) -> Decided | None:
    if evidence.gguf is None:
        return None
    said = evidence.gguf.metadata
    kind, architecture = text(said, "general.type"), text(said, "general.architecture")
    if kind in ("adapter", "projector"):
        return Category.UNKNOWN, f"GGUF general.type is {kind}: it goes with a model and is none"
    pooling = said.get(f"{architecture}.pooling_type")
    listed = gguf_architectures().get(architecture)
    if pooling == POOLING_RANKS or (listed == "embedding" and RERANKS.search(evidence.name)):
        return Category.RERANKER, f"GGUF {architecture} with rank pooling"
    if pooling in (1, 2, 3) or said.get(f"{architecture}.attention.causal") is False:
        return Category.EMBEDDING, f"GGUF {architecture} pools its tokens"
    if listed in WORDS and listed != "llm":
        return WORDS[listed], f"GGUF architecture {architecture}"
    if hinted := _generates_for_another_end(evidence):
        return hinted
    if listed is None or listed == "llm":
        return Category.LLM, f"GGUF architecture {architecture or 'not named'}"
    return Category.UNKNOWN, f"GGUF architecture {architecture} is a {listed}, no model by itself"


def _adapter(evidence: Evidence) -> Decided | None:
    if "adapter_config.json" in evidence.files and not evidence.config:
        return Category.UNKNOWN, "adapter_config.json without config.json: an adapter, no model by itself"
    return None


def _pipeline(evidence: Evidence) -> Decided | None:
    name = text(evidence.model_index, "_class_name")
    if not name:
        return None
    makes = pipelines().get(name) or ("video" if "Video" in name else "audio" if "Audio" in name else "image")
    if makes == "image":
        return Category.IMAGE, f"model_index.json: {name}"
    return Category.UNKNOWN, f"model_index.json: {name} makes {makes}, for which there is no category"


def _sentence_transformer(evidence: Evidence) -> Decided | None:
    if text(evidence.sentence_transformers, "model_type") == "CrossEncoder":
        return Category.RERANKER, "config_sentence_transformers.json: CrossEncoder"
    if any(CLASSIFIES.search(name) for name in evidence.architectures):
        return None
    for file in ("modules.json", "1_Pooling/config.json", "config_sentence_transformers.json"):
        if file in evidence.files:
            hinted = _reranks(evidence)
            return hinted or (Category.EMBEDDING, f"{file}: sentence-transformers")
    return None


def _speech_files(evidence: Evidence) -> Decided | None:
    voices = [name for name in evidence.files if re.fullmatch(r"cosyvoice\d*\.yaml", name)]
    if voices:
        return Category.TEXT_TO_SPEECH, voices[0]
    task = text(evidence.configuration, "task")
    if (
        task == "auto-speech-recognition"
        or text(section(evidence.configuration, "model"), "type") == "funasr"
    ):
        return Category.SPEECH_TO_TEXT, "configuration.json: FunASR"
    if evidence.format is ModelFormat.CTRANSLATE2:
        feature = text(evidence.preprocessor, "feature_extractor_type") + text(
            evidence.preprocessor, "processor_class"
        )
        if "Whisper" in feature or "suppress_ids" in evidence.config or HEARS.search(evidence.name):
            return Category.SPEECH_TO_TEXT, "CTranslate2 with Whisper's features"
        return Category.UNKNOWN, "CTranslate2, and no Whisper"
    return None


def _class(evidence: Evidence) -> Decided | None:
    for name in evidence.architectures:
        if decided := _by_class(evidence, name):
            return decided
    return None


def _by_class(evidence: Evidence, name: str) -> Decided | None:
    listed = hugging_face_classes().get(name)
    if name.endswith("ForRanking"):
        return Category.RERANKER, f"class {name}"
    if LATE_INTERACTION.match(name):
        return Category.EMBEDDING, f"class {name}: late interaction"
    if CLASSIFIES.search(name):
        return _classifier(evidence, name)
    if GENERATES.search(name) and listed in (None, "llm", "embedding"):
        return _generator(evidence, name, listed)
    if listed in WORDS:
        return WORDS[listed], f"class {name}"
    if listed == "draft":
        return Category.UNKNOWN, f"class {name} drafts for another model and is none by itself"
    return (Category.UNKNOWN, f"class {name} tags or scores tokens") if listed else None


def _generator(evidence: Evidence, name: str, listed: str | None) -> Decided | None:
    """A class that generates text is an LLM unless the hub or the name says that it was trained to embed or
    to rank. A class nobody knows, with code of its own, could be anything."""
    if hinted := _generates_for_another_end(evidence):
        return hinted
    if listed is None and evidence.config.get("auto_map"):
        return None
    return Category.LLM, f"class {name}"


def _generates_for_another_end(evidence: Evidence) -> Decided | None:
    if reranks := _reranks(evidence):
        return reranks
    words = {evidence.task, *evidence.tags}
    for word in ("feature-extraction", "sentence-similarity"):
        if evidence.task == word or (word in words and "sentence-transformers" in words):
            return Category.EMBEDDING, f"the hub says {word}"
    if "sentence-transformers" in evidence.tags or EMBEDS.search(evidence.name):
        return Category.EMBEDDING, "trained to embed, by its name or tags"
    return None


def _reranks(evidence: Evidence) -> Decided | None:
    if evidence.task == "text-ranking" or "text-ranking" in evidence.tags:
        return Category.RERANKER, "the hub says text-ranking"
    return (Category.RERANKER, "its name") if RERANKS.search(evidence.name) else None


def _classifier(evidence: Evidence, name: str) -> Decided:
    """With one label it scores a pair of texts."""
    labels = evidence.config.get("id2label")
    count = len(labels) if isinstance(labels, dict) else integer(evidence.config, "num_labels")
    if count is not None and count > 1:
        return Category.UNKNOWN, f"class {name} with {count} labels: a classifier"
    return Category.RERANKER, f"class {name}"


def _task(evidence: Evidence) -> Decided | None:
    for word in (evidence.task, *evidence.tags):
        if word in TASKS:
            return TASKS[word], f"the hub says {word}"
    return None


def _name(evidence: Evidence) -> Decided | None:
    hints = (
        (RERANKS, Category.RERANKER),
        (EMBEDS, Category.EMBEDDING),
        (HEARS, Category.SPEECH_TO_TEXT),
        (SPEAKS, Category.TEXT_TO_SPEECH),
    )
    for hint, category in hints:
        if hint.search(evidence.name):
            return category, "its name"
    return None
