"""`MemoryNeed` of llama.cpp, from a GGUF header and llama-server's flags."""

from collections.abc import Sequence

from modelyard_contracts.models import ModelFacts

from modelyard_models.beside import Beside
from modelyard_models.layout import Layout
from modelyard_models.llama_cpp.case import case_of
from modelyard_models.llama_cpp.fitting import largest_context
from modelyard_models.llama_cpp.kv_cache import bytes_per_token
from modelyard_models.llama_cpp.needs import device_need, fits, host_need
from modelyard_models.need import MemoryNeed

BACKEND = "llama.cpp"


def estimate_llama_cpp(
    model: ModelFacts, version: str | None, parameters: Sequence[str], layout: Layout, beside: Beside
) -> MemoryNeed:
    """Raises `BadParameters`."""
    case = case_of(model, version, parameters, layout, beside)
    planned = case.plan()
    lying_beside = case.beside(planned)
    devices = tuple(device_need(case, planned, lying_beside, rank) for rank in range(len(case.devices)))
    return MemoryNeed(
        backend=BACKEND,
        backend_version=case.build.name,
        confidence=case.confidence,
        devices=devices,
        hosts=(host_need(case, planned, lying_beside),),
        context_tokens=case.flags.context_per_sequence,
        kv_bytes_per_token=bytes_per_token(case.shape, case.flags),
        fits=fits(devices, case.devices),
        largest_context=largest_context(case, planned, lying_beside),
        total_layers=planned.placement.total_layers,
        offloaded_layers=planned.placement.offloaded,
        notes=case.notes,
    )
