"""What is known of a model from its metadata alone, before anything is downloaded."""

import hashlib
import json
from enum import StrEnum
from functools import lru_cache
from typing import Any

from modelyard_contracts.base import Contract
from modelyard_contracts.deployments import Backend, Category, DeploymentSpec, Source


class ModelFormat(StrEnum):
    GGUF = "gguf"
    SAFETENSORS = "safetensors"
    PYTORCH = "pytorch"
    DIFFUSERS = "diffusers"
    CTRANSLATE2 = "ctranslate2"
    UNKNOWN = "unknown"


class TensorGroup(Contract):
    """Tensors of a GGUF file that are placed together: those of one role in one layer, or in none."""

    layer: int | None
    """None for those of no layer."""
    role: str
    """`dense` or `experts` in a layer; else `token_embd`, `input` (other embeddings), `output`,
    `output_other` (norms and heads at the end) or `rope` (factors that every device needs)."""
    weight_bytes: int
    """As the file and main memory hold them: each tensor aligned to 32 bytes."""
    padded_bytes: int
    """As CUDA holds them: each tensor aligned to 128 bytes, quantised rows padded to 512 elements."""
    largest_tensor_bytes: int
    repackable_bytes: dict[str, int] = {}
    """By type (`Q4_K`), of the matrices whose shape lets a CPU keep them in an order of its own."""


class GgufFacts(Contract):
    """A GGUF header, without the vocabulary."""

    metadata: dict[str, Any]
    """Its key-value pairs: finite numbers, strings, and short arrays (`{arch}.attention.head_count_kv`)."""
    vocabulary_size: int
    parameters: int
    """Elements of all tensors."""
    groups: tuple[TensorGroup, ...]


class GgufChoice(Contract):
    """One of the GGUF models that a repository holds."""

    file: str
    """The first of its shards, by its path in the repository."""
    shards: int
    bytes: int


class ModelFacts(Contract):
    """One model at one revision. `config` is data and never run."""

    location: str
    """As `DeploymentSpec.location()` says it."""
    revision: str | None = None
    format: ModelFormat
    architectures: tuple[str, ...] = ()
    category: Category = Category.UNKNOWN
    category_rule: str = ""
    """The rule that decided the category, for people."""
    weight_bytes: int
    """Of the files that would be loaded, each weight once."""
    parameters: int | None = None
    active_parameters: int | None = None
    quantization: str | None = None
    context_length: int | None = None
    """With rope scaling."""
    languages: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    tools: bool = False
    reasoning: bool = False
    license: str | None = None
    config: dict[str, Any] | None = None
    """`config.json` as it is; None for a GGUF file."""
    file: str | None = None
    """Of a GGUF model, its first shard."""
    choices: tuple[GgufChoice, ...] = ()
    """The GGUF models that the coordinates leave to choose from, this one too; empty where they name one."""
    gguf: GgufFacts | None = None
    projector: GgufFacts | None = None
    """A multimodal projector (`mmproj`) beside a GGUF model."""


class ModelCoordinates(Contract):
    """Where a model is: what its facts are kept under."""

    source: Source
    repo: str
    """A repository's id or an absolute path."""
    file: str | None = None
    """A GGUF file of it, or a glob."""
    revision: str | None = None

    def location(self) -> str:
        """As `DeploymentSpec.location()` says it."""
        return f"{self.repo}/{self.file}" if self.file else self.repo

    def model_id(self) -> str:
        """The same for the same coordinates, for ever: 32 hex digits."""
        return _digest(self.source.value, self.repo, self.file, self.revision)


@lru_cache(maxsize=10_000)  # asked of every instance and every event of a deployment
def _digest(*said: str | None) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def coordinates_of(spec: DeploymentSpec) -> ModelCoordinates:
    """Where a deployment's model is. llama.cpp takes GGUF files, whatever else lies beside them."""
    match spec.source:
        case Source.LOCAL_PATH:
            return ModelCoordinates(source=spec.source, repo=spec.local_path or "")
        case Source.HUGGINGFACE:
            repo, file = spec.huggingface_repo_id, spec.huggingface_filename
        case Source.MODEL_SCOPE:
            repo, file = spec.model_scope_model_id, spec.model_scope_file_path
    if file is None and spec.backend == Backend.LLAMA_CPP:
        file = "*.gguf"
    return ModelCoordinates(source=spec.source, repo=repo or "", file=file, revision=spec.revision)


def spec_at(coordinates: ModelCoordinates) -> DeploymentSpec:
    """A deployment of the model there, of which nothing else is said."""
    said = DeploymentSpec(source=coordinates.source, revision=coordinates.revision)
    names: dict[str, str | None]
    match coordinates.source:
        case Source.LOCAL_PATH:
            names = {"local_path": coordinates.repo}
        case Source.HUGGINGFACE:
            names = {"huggingface_repo_id": coordinates.repo, "huggingface_filename": coordinates.file}
        case Source.MODEL_SCOPE:
            names = {"model_scope_model_id": coordinates.repo, "model_scope_file_path": coordinates.file}
    return said.model_copy(update=names)


def at_file(coordinates: ModelCoordinates, file: str) -> ModelCoordinates:
    """The same with one GGUF model of it."""
    if coordinates.source is Source.LOCAL_PATH:
        return coordinates.model_copy(update={"repo": f"{coordinates.repo}/{file}"})
    return coordinates.model_copy(update={"file": file})


def with_file(spec: DeploymentSpec, file: str) -> DeploymentSpec:
    """The same deployment of one GGUF model of its repository or directory."""
    match spec.source:
        case Source.LOCAL_PATH:
            return spec.model_copy(update={"local_path": f"{spec.local_path}/{file}"})
        case Source.HUGGINGFACE:
            return spec.model_copy(update={"huggingface_filename": file})
        case Source.MODEL_SCOPE:
            return spec.model_copy(update={"model_scope_file_path": file})
