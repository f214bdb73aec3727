"""Which backends can run a model, and which one it gets."""

import pytest
from model_repositories import described, real
from modelyard_contracts.deployments import Backend, Category
from modelyard_contracts.models import ModelFacts, ModelFormat
from modelyard_models.backends import default_backend, refusals

GGUF = ModelFacts(location="m.gguf", format=ModelFormat.GGUF, category=Category.LLM, weight_bytes=1)
FASTER_WHISPER = described("faster-whisper", {"config.json": {"suppress_ids": []}}, {"model.bin": 9})


def runs(model: ModelFacts, *accelerators: str) -> set[Backend]:
    return {backend for backend, reason in refusals(model, accelerators).items() if reason is None}


def test_gguf_files_run_with_llama_cpp_on_anything() -> None:
    for kind in ("cuda", "rocm", "mps", "cpu"):
        assert runs(GGUF, kind) == {Backend.LLAMA_CPP, Backend.CUSTOM}
    assert runs(GGUF) == {Backend.LLAMA_CPP, Backend.CUSTOM}


def test_language_models_run_where_their_backends_run() -> None:
    model = real("Qwen/Qwen3-8B")
    assert runs(model, "cuda") == {Backend.VLLM, Backend.SGLANG, Backend.CUSTOM}
    assert runs(model, "cann") == {Backend.VLLM, Backend.SGLANG, Backend.MINDIE, Backend.CUSTOM}
    assert runs(model, "mps") == {Backend.CUSTOM}


def test_speech_runs_with_voxbox_on_cuda_and_cpu() -> None:
    assert runs(FASTER_WHISPER, "cuda") == {Backend.VOXBOX, Backend.CUSTOM}
    assert runs(FASTER_WHISPER) == {Backend.VOXBOX, Backend.CUSTOM}
    assert Backend.VLLM in runs(real("openai/whisper-large-v3"), "cuda")


def test_every_refusal_says_why() -> None:
    said = refusals(real("Qwen/Qwen3-8B"), ["cuda"])
    assert said[Backend.MINDIE] == "it runs on cann and not on cuda"
    assert said[Backend.LLAMA_CPP] == "it loads gguf and not safetensors"
    pictures = described("org/flux", {"model_index.json": {"_class_name": "FluxPipeline"}})
    assert "diffusers" in str(refusals(pictures, ["cuda"])[Backend.VLLM])
    whisper = refusals(real("openai/whisper-large-v3"), ["cuda"])
    assert whisper[Backend.SGLANG] == "it does not serve models of the category speech_to_text"


@pytest.mark.parametrize(
    ("format", "category", "accelerators", "backend"),
    [
        (ModelFormat.GGUF, Category.LLM, ("cuda",), Backend.LLAMA_CPP),
        (ModelFormat.SAFETENSORS, Category.LLM, ("cuda",), Backend.VLLM),
        (ModelFormat.SAFETENSORS, Category.EMBEDDING, ("rocm",), Backend.VLLM),
        (ModelFormat.SAFETENSORS, Category.RERANKER, (), Backend.VLLM),
        (ModelFormat.SAFETENSORS, Category.LLM, ("cann",), Backend.MINDIE),
        (ModelFormat.SAFETENSORS, Category.LLM, ("cann", "cuda"), Backend.VLLM),
        (ModelFormat.SAFETENSORS, Category.SPEECH_TO_TEXT, ("cuda",), Backend.VLLM),
        (ModelFormat.SAFETENSORS, Category.TEXT_TO_SPEECH, ("cuda",), Backend.VOXBOX),
        (ModelFormat.CTRANSLATE2, Category.SPEECH_TO_TEXT, ("cuda",), Backend.VOXBOX),
        (ModelFormat.PYTORCH, Category.TEXT_TO_SPEECH, ("cuda",), Backend.VOXBOX),
        (ModelFormat.DIFFUSERS, Category.IMAGE, ("cuda",), Backend.SGLANG),
    ],
)
def test_the_default_backend(
    format: ModelFormat, category: Category, accelerators: tuple[str, ...], backend: Backend
) -> None:
    assert default_backend(format, category, accelerators) == backend
