"""`facts_from_files`: what is known of a model, from the files that were read of it. Pure."""

from collections.abc import Iterable

from modelyard_contracts.models import ModelFacts, ModelFormat

from modelyard_models.files import ModelFiles
from modelyard_models.gguf_header import merge_shards


def facts_from_files(files: ModelFiles) -> ModelFacts:
    """Raises `BadModel`, naming the file, or `BadGguf`."""
    config = files.json("config.json")
    return ModelFacts(
        location=files.location,
        revision=files.revision,
        format=format_of(files),
        weight_bytes=sum(files.sizes[name] for name in weight_files(files)),
        config=config,
        gguf=merge_shards([files.headers[part] for part in files.chosen]) if files.chosen else None,
        projector=files.headers.get(files.projector) if files.projector else None,
    )


def format_of(files: ModelFiles) -> ModelFormat:
    names = files.sizes.keys()
    if files.chosen:
        return ModelFormat.GGUF
    if "model_index.json" in names:
        return ModelFormat.DIFFUSERS
    if any(name.endswith(".safetensors") for name in names):
        return ModelFormat.SAFETENSORS
    if any(_is_pytorch(name) for name in names):
        return ModelFormat.PYTORCH
    return ModelFormat.CTRANSLATE2 if "model.bin" in names else ModelFormat.UNKNOWN


def weight_files(files: ModelFiles) -> tuple[str, ...]:
    """The files that hold the weights that would be loaded, each weight once."""
    names = files.sizes.keys()
    match format_of(files):
        case ModelFormat.GGUF:
            return files.chosen
        case ModelFormat.DIFFUSERS:
            return _of_diffusers(names)
        case ModelFormat.SAFETENSORS:
            return tuple(sorted(name for name in names if name.endswith(".safetensors") and "/" not in name))
        case ModelFormat.PYTORCH:
            return tuple(sorted(name for name in names if _is_pytorch(name)))
        case ModelFormat.CTRANSLATE2:
            return ("model.bin",)
        case ModelFormat.UNKNOWN:
            return ()


def _is_pytorch(name: str) -> bool:
    return "/" not in name and name.startswith("pytorch_model") and name.endswith(".bin")


def _of_diffusers(names: Iterable[str]) -> tuple[str, ...]:
    """Every part of the pipeline is a folder of its own."""
    return tuple(sorted(name for name in names if name.endswith(".safetensors") and "/" in name))
