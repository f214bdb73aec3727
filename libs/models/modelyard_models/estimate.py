"""`estimate`: one door to the estimators of all backends. Pure."""

from collections.abc import Callable, Sequence

from modelyard_contracts.deployments import Backend
from modelyard_contracts.models import ModelFacts, ModelFormat

from modelyard_models.beside import NOTHING_BESIDE, Beside
from modelyard_models.estimators.mindie import estimate_mindie
from modelyard_models.estimators.pipelines import estimate_pipeline
from modelyard_models.estimators.request import Request
from modelyard_models.estimators.sglang import estimate_sglang
from modelyard_models.estimators.vllm import estimate_vllm
from modelyard_models.estimators.voxbox import estimate_voxbox
from modelyard_models.flags import Flags
from modelyard_models.layout import Layout
from modelyard_models.llama_cpp.estimator import estimate_llama_cpp
from modelyard_models.need import MemoryNeed

Estimator = Callable[[ModelFacts, str | None, Sequence[str], Layout, Beside], MemoryNeed]


def _asked(estimator: Callable[[Request], MemoryNeed]) -> Estimator:
    """For estimators that take what they are asked as one value."""

    def ask(
        model: ModelFacts, version: str | None, parameters: Sequence[str], layout: Layout, beside: Beside
    ) -> MemoryNeed:
        return estimator(Request(model, version, Flags(parameters), layout, beside))

    return ask


def _or_pipeline(backend: Backend, estimator: Callable[[Request], MemoryNeed]) -> Estimator:
    """The same backend serves language models and diffusion pipelines."""

    def choose(request: Request) -> MemoryNeed:
        is_pipeline = request.facts.format is ModelFormat.DIFFUSERS
        return estimate_pipeline(request, backend.value) if is_pipeline else estimator(request)

    return _asked(choose)


ESTIMATORS: dict[str, Estimator] = {
    Backend.LLAMA_CPP: estimate_llama_cpp,
    Backend.VLLM: _or_pipeline(Backend.VLLM, estimate_vllm),
    Backend.SGLANG: _or_pipeline(Backend.SGLANG, estimate_sglang),
    Backend.MINDIE: _asked(estimate_mindie),
    Backend.VOXBOX: _asked(estimate_voxbox),
}


class UnknownBackend(NotImplementedError):
    """There is no estimator for the backend; the message names those there are."""


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
    parameters contradict the model or the layout, and `UnknownBackend`.
    """
    estimator = ESTIMATORS.get(backend)
    if estimator is None:
        known = ", ".join(ESTIMATORS)
        raise UnknownBackend(f"the memory that {str(backend)!r} needs cannot be estimated; known are {known}")
    return estimator(model, backend_version, parameters, layout, beside)


__all__ = ["NOTHING_BESIDE", "Beside", "UnknownBackend", "estimate"]
