"""Whether a deployment would fit on a cluster as it is now: a simulation of it alone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard_contracts.deployments import Reason

from modelyard_placement.claims import Sizer
from modelyard_placement.cluster import Cluster
from modelyard_placement.demand import Demand
from modelyard_placement.place import Placement, Unplaceable
from modelyard_placement.report import Json, outcome_view
from modelyard_placement.simulation import Simulation, simulate

NEVER = frozenset({"counts", "model", "backend", "device_type", "compute_capability", "extended_kv_cache"})
"""Checks that no freed room changes."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """By cluster; the first that takes all replicas is the one that counts."""

    by_cluster: dict[int, Simulation]

    @property
    def fitting(self) -> int | None:
        return next((ident for ident, found in self.by_cluster.items() if found.all_fit), None)


def evaluate(cluster: Cluster, demands: Sequence[Demand], sizer: Sizer) -> Evaluation:
    """Each demand on its own cluster; `cluster` may hold the workers of many."""
    found = {
        demand.cluster_id: simulate(cluster, [demand], {}, sizer)
        for demand in demands
        if demand.cluster_id is not None
    }
    return Evaluation(found)


def evaluation_view(evaluation: Evaluation, default_spec: Json) -> Json:
    """In the words of `/v2/model-evaluations`, with what would happen to each replica."""
    fitting = evaluation.fitting
    claims = {ident: claim for ident, one in evaluation.by_cluster.items() if (claim := _claim(one))}
    shown = fitting if fitting is not None else next(iter(evaluation.by_cluster), None)
    outcomes = evaluation.by_cluster[shown].outcomes if shown is not None else ()
    reasons = [] if fitting is not None else _reasons(evaluation)
    return {
        "compatible": fitting is not None,
        "compatibility_messages": _messages([one for one in reasons if one.check in NEVER]),
        "scheduling_messages": _messages([one for one in reasons if one.check not in NEVER]),
        "default_spec": default_spec,
        "resource_claim": claims.get(shown) if shown is not None else None,
        "resource_claim_by_cluster_id": {str(ident): claim for ident, claim in claims.items()},
        "error": False,
        "error_message": None,
        "cluster_id": shown,
        "instances": [outcome_view(outcome) for outcome in outcomes],
    }


def failed_view(message: str, default_spec: Json) -> Json:
    return {
        **evaluation_view(Evaluation({}), default_spec),
        "compatibility_messages": [message],
        "error": True,
        "error_message": message,
    }


def _claim(simulation: Simulation) -> Json | None:
    """Of one replica; None if none fits."""
    for outcome in simulation.outcomes:
        if isinstance(outcome.result, Placement):
            claims = [outcome.result.claim, *(part.claim for part in outcome.result.subordinates)]
            return {
                "ram": sum(claim.ram_bytes for claim in claims),
                "vram": sum(sum(claim.vram_bytes.values()) for claim in claims),
            }
    return None


def _reasons(evaluation: Evaluation) -> list[Reason]:
    results = [outcome.result for one in evaluation.by_cluster.values() for outcome in one.outcomes]
    return [reason for result in results if isinstance(result, Unplaceable) for reason in result.stated()]


def _messages(reasons: Sequence[Reason]) -> list[str]:
    return list(dict.fromkeys(reason.message for reason in reasons))
