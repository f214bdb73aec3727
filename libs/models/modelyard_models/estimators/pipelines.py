"""Diffusion pipelines: every part of the pipeline is loaded; what sampling takes is a guess."""

from modelyard_models.estimators.parts import GIB, part
from modelyard_models.estimators.request import Request
from modelyard_models.estimators.single import Single, need_of_single
from modelyard_models.need import Confidence, MemoryNeed

ACTIVATION_SHARE = 0.2
"""Of the weights, for one picture of a megapixel: no start was measured."""
LEAST_ACTIVATION = 2 * GIB
CONTEXT = GIB // 2


def estimate_pipeline(request: Request, backend: str) -> MemoryNeed:
    weights = request.facts.weight_bytes
    activation = max(weights * ACTIVATION_SHARE, LEAST_ACTIVATION)
    said = Single(
        backend=backend,
        version=request.version or "any version",
        confidence=Confidence.LOW,
        parts=(
            part("weights", weights, "all parts of the pipeline, as in the files"),
            part("activation", activation, "a guess: it grows with the size of pictures and their number"),
            part("context", CONTEXT),
        ),
        host=(part("process", 2 * GIB),),
        notes=("no pipeline was measured: less certain",),
    )
    return need_of_single(request, said)
