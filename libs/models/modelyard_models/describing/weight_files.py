"""Which files hold the weights that would be loaded, each weight once: repositories often carry the same
weights in several formats and precisions."""

import re
from collections.abc import Iterable

from modelyard_contracts.models import ModelFormat

from modelyard_models.files import ModelFiles

INDEX = "model.safetensors.index.json"
NOT_WEIGHTS = re.compile(
    r"^(optimizer|scheduler|training_args|rng_state|random_states|adapter_model|consolidated)"
)
VARIANT = re.compile(r"\.(fp16|fp32|bf16|non_ema|int8|int4|fp8)(?=[.-])")
SHARD = re.compile(r"-\d{5}-of-\d{5}")
PYTORCH = (".bin", ".pt", ".pth")


def format_of(files: ModelFiles) -> ModelFormat:
    names = files.sizes.keys()
    if files.chosen:
        return ModelFormat.GGUF
    if "model_index.json" in names:
        return ModelFormat.DIFFUSERS
    if any(name.endswith(".safetensors") for name in names):
        return ModelFormat.SAFETENSORS
    if "model.bin" in names and not any(name.startswith("pytorch_model") for name in names):
        return ModelFormat.CTRANSLATE2
    if any(name.endswith(PYTORCH) and "/" not in name for name in names):
        return ModelFormat.PYTORCH
    return ModelFormat.UNKNOWN


def weight_files(files: ModelFiles) -> tuple[str, ...]:
    """Raises `BadModel` if an index cannot be read."""
    names = files.sizes.keys()
    match format_of(files):
        case ModelFormat.GGUF:
            return files.chosen
        case ModelFormat.DIFFUSERS:
            return _of_pipeline(files)
        case ModelFormat.SAFETENSORS:
            return _indexed(files) or _of_safetensors(names)
        case ModelFormat.PYTORCH:
            return _one_set(name for name in names if name.endswith(PYTORCH) and _is_top(name))
        case ModelFormat.CTRANSLATE2:
            return ("model.bin",)
        case ModelFormat.UNKNOWN:
            return ()


def _indexed(files: ModelFiles) -> tuple[str, ...]:
    """The files that the index names; none if it names one that is not there."""
    mapped = (files.json(INDEX) or {}).get("weight_map")
    if not isinstance(mapped, dict):
        return ()
    named = {str(one) for one in mapped.values()}
    return (*sorted(named), *_dense_layers(files.sizes)) if named and named <= files.sizes.keys() else ()


def _of_safetensors(names: Iterable[str]) -> tuple[str, ...]:
    everything = list(names)
    top = [name for name in everything if name.endswith(".safetensors") and "/" not in name]
    chosen = _one_set(name for name in top if _is_top(name))
    if not chosen:  # Mistral's own layout, adapters
        chosen = tuple(sorted(top))
    if not chosen:
        chosen = tuple(sorted(name for name in everything if name.endswith(".safetensors")))
    return (*chosen, *(one for one in _dense_layers(everything) if one not in chosen))


def _dense_layers(names: Iterable[str]) -> tuple[str, ...]:
    """Of sentence-transformers, behind the model: `2_Dense/model.safetensors`."""
    return tuple(sorted(name for name in names if re.fullmatch(r"\d+_Dense/model\.safetensors", name)))


def _is_top(name: str) -> bool:
    return "/" not in name and not NOT_WEIGHTS.match(name)


def _one_set(names: Iterable[str]) -> tuple[str, ...]:
    """Of sets that hold the same weights: shards or one file, in one precision. Shards win, then what has no
    variant in its name."""
    sets: dict[tuple[str, bool], list[str]] = {}
    for name in names:
        variant = VARIANT.search(name)
        sets.setdefault((variant[1] if variant else "", bool(SHARD.search(name))), []).append(name)
    if not sets:
        return ()
    best = min(sets, key=lambda one: (one[0] != "", not one[1], one[0]))
    return tuple(sorted(sets[best]))


def _of_pipeline(files: ModelFiles) -> tuple[str, ...]:
    """Every part that `model_index.json` names is a folder; half precision wins. Raises `BadModel`."""
    index = files.json("model_index.json") or {}
    parts = [name for name, value in index.items() if isinstance(value, list) and any(value)]
    chosen: list[str] = []
    for part in parts or sorted({name.partition("/")[0] for name in files.sizes if "/" in name}):
        inside = [name for name in files.sizes if name.rpartition("/")[0] == part]
        chosen += _of_part([name for name in inside if name.endswith(".safetensors")]) or _of_part(
            [name for name in inside if name.endswith(PYTORCH)]
        )
    return tuple(chosen)


def _of_part(names: list[str]) -> tuple[str, ...]:
    halves = [name for name in names if ".fp16" in name or ".bf16" in name]
    return tuple(sorted(halves)) if halves else _one_set(names)
