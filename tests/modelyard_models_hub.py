"""What tests of model sources share: a hub with small real repositories, and a catalogue that asks it."""

import json
from pathlib import Path

from gguf_shapes import write_sparse
from hub_server import Hub, safetensors
from modelyard_contracts.deployments import Source
from modelyard_contracts.models import ModelCoordinates
from modelyard_models.sources.catalogue import Catalogue
from modelyard_models.sources.settings import ModelSourceSettings
from pydantic import SecretStr
from tiny_gguf import write_tiny_gguf

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 2048,
    "vocab_size": 354,
    "torch_dtype": "bfloat16",
}
TENSORS = {"model.embed_tokens.weight": ("BF16", (354, 64)), "lm_head.weight": ("BF16", (354, 64))}
HUBS = [Source.HUGGINGFACE, Source.MODEL_SCOPE]


def fill(hub: Hub, directory: Path) -> None:
    """`org/tiny-gguf` of one GGUF in two sizes, `org/tiny` of safetensors, `org/gated`."""
    gguf = directory / "tiny-F32.gguf"
    if not gguf.exists():
        write_tiny_gguf(gguf)
    larger = gguf.read_bytes() + bytes(1 << 20)
    readme = b"# Tiny\nA model for tests."
    hub.add(
        "org/tiny-gguf",
        {"tiny-F32.gguf": gguf, "tiny-padded.gguf": larger, "README.md": readme},
        task="text-generation",
        tags=("gguf", "license:mit"),
        downloads=500,
        likes=7,
    )
    tiny = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": safetensors(TENSORS)}
    hub.add("org/tiny", {**tiny, "README.md": readme}, task="text-generation", tags=("safetensors",), likes=9)
    hub.add("org/gated", tiny, token="hf_open", downloads=1)


MIDDLING = {
    "family": "llama",
    "layers": 2,
    "width": 512,
    "feed_forward": 2048,
    "heads": 8,
    "kv_heads": 8,
    "vocabulary": 4000,
    "context": 2048,
}
"""In the words of `gguf_shapes`: 7 MB with 4 bits a weight."""


def add_many(hub: Hub, directory: Path) -> None:
    """`org/many`: one model in three quantisations, headers and zeros alone."""
    files = {"m-Q2_K.gguf": "Q4_0", "m-Q4_K_M.gguf": "Q8_0", "m-F16.gguf": "F16"}
    directory.mkdir(exist_ok=True)
    for name, file_type in files.items():
        write_sparse(directory / name, MIDDLING, file_type)
    hub.add("org/many", {name: directory / name for name in files})


def settings_for(url: str, directory: Path, **changed: object) -> ModelSourceSettings:
    values: dict[str, object] = {
        "huggingface_endpoint": url,
        "modelscope_endpoint": url,
        "huggingface_token": None,
        "modelscope_token": None,
        "model_cache": directory / "cache",
        "model_source_timeout_s": 10.0,
    }
    return ModelSourceSettings(**{**values, **changed})  # type: ignore[arg-type]


def catalogue_for(hub: Hub, directory: Path, **changed: object) -> Catalogue:
    return Catalogue(settings_for(hub.url, directory, **changed))


def at(source: Source, repo: str, file: str | None = None, revision: str | None = None) -> ModelCoordinates:
    return ModelCoordinates(source=source, repo=repo, file=file, revision=revision)


__all__ = ["CONFIG", "HUBS", "SecretStr", "add_many", "at", "catalogue_for", "fill", "settings_for"]
