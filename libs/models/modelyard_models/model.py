"""A model as a backend loads it: its shape, how it is stored, and what of it is in doubt."""

from dataclasses import dataclass, replace
from typing import Any

from modelyard_contracts.models import ModelFacts

from modelyard_models.flags import Flags
from modelyard_models.quantization import BY_NAME, Quantization, quantization_of
from modelyard_models.shape.count import all_groups
from modelyard_models.shape.layers import Shape
from modelyard_models.shape.read import shape_of
from modelyard_models.weights import Checkpoint, bytes_of, checkpoint_of

FLOAT32_FILES = 0.03
"""A file within this share of twice the 16-bit size holds 32-bit floats."""
MISFIT = 0.1
"""A shape that misses the files' size by more than this share is not understood."""
QUANTIZED_MISFIT = 0.4
"""The same for quantised files, which keep more or fewer modules in 16 bit than they say."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    facts: ModelFacts
    shape: Shape
    quantization: Quantization | None
    """As loaded: of the files, or applied while loading."""
    checkpoint: Checkpoint
    doubts: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        return self.shape.is_known and self.checkpoint.error <= self.misfit

    @property
    def misfit(self) -> float:
        return MISFIT if self.quantization is None else QUANTIZED_MISFIT


def loaded_model(facts: ModelFacts, flags: Flags) -> LoadedModel | None:
    """None where nothing but the size of the files is known."""
    config = overridden(facts.config or {}, flags)
    shape = shape_of(config)
    if shape is None:
        return None
    if flags.text("--dtype") in ("float32", "float"):
        shape = replace(shape, bytes_per_weight=4)
    stored = quantization_of(config)
    wanted = (flags.text("--quantization", "-q") or "").lower()
    loaded = stored or BY_NAME.get(wanted)
    checkpoint = checkpoint_of(shape, stored, _bytes_as_loaded(facts.weight_bytes, shape, stored))
    doubts = list(shape.doubts)
    if checkpoint.error > MISFIT:
        doubts.append(f"the files are {checkpoint.scale:.2f} times as large as the layers explain")
    return LoadedModel(facts, shape, loaded, checkpoint, tuple(doubts))


def overridden(config: dict[str, Any], flags: Flags) -> dict[str, Any]:
    """With what `--hf-overrides` and its like change."""
    changes = flags.mapping("--hf-overrides", "--json-model-override-args")
    scaling = flags.mapping("--rope-scaling")
    return {**config, **changes, **({"rope_scaling": scaling} if scaling else {})}


def _bytes_as_loaded(size: int, shape: Shape, stored: Quantization | None) -> int:
    """Backends turn 32-bit floats into 16 bit, and 16 bit into 32 where they are told to."""
    if stored is not None or size <= 0:
        return size
    two = bytes_of(all_groups(replace(shape, bytes_per_weight=2)), replace(shape, bytes_per_weight=2), None)
    is_float32 = abs(size - 2 * two) < FLOAT32_FILES * 2 * two
    return int(size * shape.bytes_per_weight / (4 if is_float32 else 2))
