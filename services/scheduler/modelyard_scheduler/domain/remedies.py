"""What would make an instance fit: changes tried out on the cluster as it is, one by one."""

from collections import defaultdict
from dataclasses import replace

from modelyard_contracts.deployments import Backend, DeploymentSpec, Reason
from modelyard_contracts.explanations import Remedy
from modelyard_contracts.models import ModelFacts
from modelyard_contracts.parameters import BadParameters
from modelyard_models.scaling import scaled
from modelyard_placement.claims import Sizer
from modelyard_placement.demand import Demand, demand_of
from modelyard_placement.index import Index
from modelyard_placement.place import Placement, Unplaceable, place_in
from modelyard_placement.sizes import gib

CONTEXT_FLAGS = {
    Backend.VLLM: "--max-model-len",
    Backend.SGLANG: "--context-length",
    Backend.LLAMA_CPP: "--ctx-size",
}
CONTEXTS = (131072, 65536, 32768, 16384, 8192, 4096, 2048)
BITS = ((8, "8 bits a weight (as FP8, INT8 or Q8_0)"), (4, "4 bits a weight (as AWQ, GPTQ or Q4_K_M)"))
FULL_BITS = 16
ROOM = ("vram", "ram")


def remedies(rooms: Index, demand: Demand, found: Unplaceable, sizer: Sizer) -> tuple[Remedy, ...]:
    """The nearest worker with what it lacks; then the least change of each kind that makes it fit."""
    tried = (_with_fewer_tokens(rooms, demand, sizer), _with_fewer_bits(rooms, demand, sizer))
    more = (_partly_in_ram(rooms, demand, sizer),)
    return tuple(one for one in (_nearest(found), *tried, *more) if one is not None)


def _nearest(found: Unplaceable) -> Remedy | None:
    """The worker whose devices or memory lack least, of those that nothing else stands against."""
    by_worker: dict[str, list[Reason]] = defaultdict(list)
    for reason in found.reasons:
        by_worker[reason.worker or ""].append(reason)
    lacks = [
        (min(_short(reason) for reason in reasons), name, min(reasons, key=_short))
        for name, reasons in by_worker.items()
        if name and all(reason.check in ROOM for reason in reasons)
    ]
    if not lacks:
        return None
    short, name, reason = min(lacks, key=lambda one: one[:2])
    where = reason.device or "main memory"
    message = f"{name} comes closest: {where} lacks {gib(short)}"
    return Remedy(change="free_room", worker=name, message=message)


def _short(reason: Reason) -> int:
    return int(reason.needed or 0) - int(reason.available or 0)


def _with_fewer_tokens(rooms: Index, demand: Demand, sizer: Sizer) -> Remedy | None:
    flag = CONTEXT_FLAGS.get(Backend(demand.backend)) if demand.backend in CONTEXT_FLAGS else None
    if flag is None or demand.model is None:
        return None
    own = demand.model.context_length
    for tokens in (own, *(one for one in CONTEXTS if one < own)) if own else CONTEXTS:
        parameters = (*demand.spec.backend_parameters, f"{flag}={tokens}")
        worker = _fits(
            rooms, demand, sizer, demand.spec.model_copy(update={"backend_parameters": parameters})
        )
        if worker:
            message = f"with {flag}={tokens} it fits on {worker}"
            return Remedy(change="fewer_context_tokens", worker=worker, message=message)
    return None


def _with_fewer_bits(rooms: Index, demand: Demand, sizer: Sizer) -> Remedy | None:
    """By the size of the weights alone, taken to be of 16 bits unless they are fewer by parameters."""
    if demand.model is None:
        return None
    present = _bits(demand.model)
    for bits, named in BITS:
        if bits >= present:
            continue
        worker = _fits(rooms, demand, sizer, demand.spec, scaled(demand.model, bits / present))
        if worker:
            message = f"with {named} its weights would fit on {worker}"
            return Remedy(change="another_quantization", worker=worker, message=message)
    return None


def _bits(model: ModelFacts) -> float:
    if not model.parameters:
        return FULL_BITS
    return min(FULL_BITS, 8 * model.weight_bytes / model.parameters)


def _partly_in_ram(rooms: Index, demand: Demand, sizer: Sizer) -> Remedy | None:
    if demand.spec.cpu_offloading or not (demand.rules.partly_on_cpu or demand.rules.on_cpu):
        return None
    worker = _fits(rooms, demand, sizer, demand.spec.model_copy(update={"cpu_offloading": True}))
    if worker is None:
        return None
    message = f"with cpu_offloading it fits on {worker}, more slowly"
    return Remedy(change="cpu_offloading", worker=worker, message=message)


def _fits(
    rooms: Index, demand: Demand, sizer: Sizer, spec: DeploymentSpec, model: ModelFacts | None = None
) -> str | None:
    """The worker that would take it then."""
    try:
        changed = demand_of(
            demand.name,
            spec,
            deployment=demand.deployment,
            cluster_id=demand.cluster_id,
            model=model or demand.model,
            draft=demand.draft,
            adapters=demand.adapters,
            replicas=demand.replicas,
        )
    except BadParameters:
        return None
    found = place_in(rooms, replace(changed, paths=demand.paths), sizer=sizer)
    return found.worker.name if isinstance(found, Placement) else None
