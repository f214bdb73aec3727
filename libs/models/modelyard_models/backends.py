"""Which backend a model runs with when the operator names none. Pure."""

from modelyard_contracts.deployments import Backend
from modelyard_contracts.models import ModelFormat


def default_backend(format: ModelFormat) -> Backend:
    """GGUF files are llama.cpp's; everything else is vLLM's."""
    return Backend.LLAMA_CPP if format is ModelFormat.GGUF else Backend.VLLM
