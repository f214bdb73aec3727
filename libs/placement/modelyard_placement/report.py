"""A simulation and a placement as JSON, in the words that instances are shown in."""

from dataclasses import asdict
from typing import Any

from modelyard_contracts.deployments import Claim

from modelyard_placement.place import Placement, Unplaceable
from modelyard_placement.simulation import Outcome, Simulation

Json = dict[str, Any]


def simulation_view(simulation: Simulation) -> Json:
    outcomes = simulation.outcomes
    return {
        "instances": [outcome_view(outcome) for outcome in outcomes],
        "all_fit": simulation.all_fit,
        "unschedulable": sum(isinstance(outcome.result, Unplaceable) for outcome in outcomes),
        "figures": {"before": asdict(simulation.before), "after": asdict(simulation.after)},
    }


def outcome_view(outcome: Outcome) -> Json:
    view: Json = {"deployment": outcome.deployment, "instance": outcome.instance}
    if outcome.moved_from is not None:
        view["moved_from"] = outcome.moved_from
    return {**view, **result_view(outcome.result)}


def result_view(result: Placement | Unplaceable) -> Json:
    if isinstance(result, Unplaceable):
        reasons = [reason.model_dump(mode="json") for reason in result.reasons]
        return {"unschedulable": reasons, "candidates": [], "message": result.message()}
    view: Json = {
        "placement": {
            "worker": result.worker.name,
            **part_view(result.claim),
            "strategy": result.strategy,
            "subordinates": [
                {"worker": part.worker_name, **part_view(part.claim)} for part in result.subordinates
            ],
        },
        "candidates": [candidate.model_dump(mode="json") for candidate in result.best],
    }
    if result.overcommits:
        view["overcommits"] = [reason.model_dump(mode="json") for reason in result.overcommits]
    return view


def part_view(claim: Claim) -> Json:
    """What an instance has of one worker, its devices by index."""
    devices = [device.rpartition(":") for device in claim.devices()]
    return {
        "gpu_type": devices[0][0] if devices else None,
        "gpu_indexes": [int(index) for _, _, index in devices],
        "vram": {index: claim.vram_bytes[f"{kind}:{index}"] for kind, _, index in devices},
        "vram_beside": {
            index: claim.beside_bytes[f"{kind}:{index}"]
            for kind, _, index in devices
            if f"{kind}:{index}" in claim.beside_bytes
        },
        "ram": claim.ram_bytes,
        "offload_layers": claim.offload_layers,
        "total_layers": claim.total_layers,
        "vram_utilization": claim.fraction,
        "context_tokens": claim.context_tokens,
    }
