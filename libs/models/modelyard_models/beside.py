"""What runs along with a model."""

from dataclasses import dataclass

from modelyard_contracts.deployments import ExtendedKVCache
from modelyard_contracts.models import ModelFacts


@dataclass(frozen=True, slots=True)
class Beside:
    adapters: tuple[ModelFacts, ...] = ()
    """LoRA adapters."""
    draft: ModelFacts | None = None
    """The draft model of speculative decoding."""
    extended_kv_cache: ExtendedKVCache | None = None


NOTHING_BESIDE = Beside()
