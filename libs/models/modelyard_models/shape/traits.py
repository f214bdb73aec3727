"""What a `model_type` implies that its `config.json` does not say (`data/model_types.json`)."""

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Traits:
    is_known: bool = True
    bias: bool = False
    output_bias: bool = False
    expert_bias: bool = False
    head_norm: bool = False
    gate: bool = False
    norms: int = 2
    ungated: bool = False
    full_every: int | None = None
    window_all: bool = False
    window: int | None = None
    rotary: float = 1.0
    no_rope: bool = False
    rope_caches: int = 1
    encoder: bool = False


UNKNOWN = Traits(is_known=False)


def traits_of(model_type: str) -> Traits:
    return _all().get(model_type, UNKNOWN)


def model_type_of(model_type: str, architectures: list[object]) -> str:
    """What the config says, else what its first class is called: `Glm4MoeForCausalLM` is `glm4_moe`."""
    if model_type or not architectures:
        return model_type
    name = re.sub(r"(For[A-Z].*|Model|LMHeadModel)$", "", str(architectures[0])[:80])
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@cache
def _all() -> dict[str, Traits]:
    text = files("modelyard_models").joinpath("data/model_types.json").read_text(encoding="utf-8")
    return {name: Traits(**traits) for name, traits in json.loads(text)["types"].items()}
