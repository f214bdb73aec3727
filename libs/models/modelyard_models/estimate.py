"""`estimate`: one door to the estimators of all backends. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard_contracts.deployments import ExtendedKVCache
from modelyard_contracts.models import ModelFacts

from modelyard_models.layout import Layout
from modelyard_models.need import MemoryNeed


@dataclass(frozen=True, slots=True)
class Beside:
    """What runs along with the model."""

    adapters: tuple[ModelFacts, ...] = ()
    """LoRA adapters."""
    draft: ModelFacts | None = None
    """The draft model of speculative decoding."""
    extended_kv_cache: ExtendedKVCache | None = None


NOTHING_BESIDE = Beside()


def estimate(
    model: ModelFacts,
    backend: str,
    backend_version: str | None,
    parameters: Sequence[str],
    layout: Layout,
    beside: Beside = NOTHING_BESIDE,
) -> MemoryNeed:
    """What `model` needs on `layout`. `parameters` are arguments as `split_parameters` gives them.

    `backend_version` None: the newest that is known. Raises `BadParameters`, naming the flag, where the
    parameters contradict the model or the layout.
    """
    raise NotImplementedError(backend, backend_version, parameters, layout, beside, model)
