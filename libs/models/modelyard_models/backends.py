"""Which backends can run a model, why the others cannot, and which one it gets if nobody names one. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from modelyard_contracts.deployments import Backend, Category
from modelyard_contracts.models import ModelFacts, ModelFormat

TRANSFORMERS = frozenset({ModelFormat.SAFETENSORS, ModelFormat.PYTORCH})
TEXT = frozenset({Category.LLM, Category.EMBEDDING, Category.RERANKER, Category.UNKNOWN})
SPEECH = frozenset({Category.SPEECH_TO_TEXT, Category.TEXT_TO_SPEECH})
CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Abilities:
    formats: frozenset[ModelFormat]
    categories: frozenset[Category]
    accelerators: frozenset[str] | None
    """Kinds of devices, with `cpu` where it runs without one; None: all. As placement has them."""


ABILITIES = {
    Backend.VLLM: Abilities(
        TRANSFORMERS,
        TEXT | {Category.SPEECH_TO_TEXT},
        frozenset({"cuda", "rocm", "cann", "dtk", "musa", "maca", "corex", "xpu"}),
    ),
    Backend.SGLANG: Abilities(
        TRANSFORMERS | {ModelFormat.DIFFUSERS},
        TEXT | {Category.IMAGE},
        frozenset({"cuda", "rocm", "cann", "musa", "xpu"}),
    ),
    Backend.MINDIE: Abilities(TRANSFORMERS, TEXT, frozenset({"cann"})),
    Backend.VOXBOX: Abilities(
        frozenset({ModelFormat.CTRANSLATE2, ModelFormat.PYTORCH}), SPEECH, frozenset({"cuda", CPU})
    ),
    Backend.LLAMA_CPP: Abilities(frozenset({ModelFormat.GGUF}), TEXT | {Category.TEXT_TO_SPEECH}, None),
}
"""What each built-in backend loads, serves and runs on."""


def refusals(model: ModelFacts, accelerators: Collection[str]) -> dict[Backend, str | None]:
    """Why a backend cannot run the model on machines with these kinds of devices; None: it can.

    Empty `accelerators`: machines without devices. A custom image may run anything.
    """
    kinds = frozenset(accelerators) or frozenset({CPU})
    found: dict[Backend, str | None] = {
        backend: _refusal(model, able, kinds) for backend, able in ABILITIES.items()
    }
    return {**found, Backend.CUSTOM: None}


def default_backend(
    format: ModelFormat, category: Category = Category.UNKNOWN, accelerators: Collection[str] = ()
) -> Backend:
    """GGUF files are llama.cpp's, speech is VoxBox's where it loads the format, pipelines for images are
    SGLang's, models for Ascend alone MindIE's; everything else is vLLM's."""
    if format is ModelFormat.GGUF:
        return Backend.LLAMA_CPP
    if format is ModelFormat.CTRANSLATE2 or (
        category in SPEECH and format in ABILITIES[Backend.VOXBOX].formats
    ):
        return Backend.VOXBOX
    if format is ModelFormat.DIFFUSERS:
        return Backend.SGLANG
    if category is Category.TEXT_TO_SPEECH:
        return Backend.VOXBOX
    return Backend.MINDIE if set(accelerators) == {"cann"} and category in TEXT else Backend.VLLM


def _refusal(model: ModelFacts, able: Abilities, kinds: frozenset[str]) -> str | None:
    if model.format not in able.formats:
        return f"it loads {_listed(able.formats)} and not {model.format}"
    if model.category not in able.categories:
        return f"it does not serve models of the category {model.category}"
    if able.accelerators is not None and not able.accelerators & kinds:
        return f"it runs on {_listed(able.accelerators)} and not on {_listed(kinds)}"
    return None


def _listed(words: Collection[str]) -> str:
    return ", ".join(sorted(words))
