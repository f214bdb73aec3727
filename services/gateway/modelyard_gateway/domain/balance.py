"""Which instance takes the next request."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from enum import IntEnum

from modelyard_gateway.domain.table import Endpoint, Route, RoutingTable


class Trust(IntEnum):
    """The lower, the better; a worse one is used only where no better one is left."""

    GOOD = 0
    DOUBTFUL = 1
    """Its worker is silent."""
    FAILED = 2
    """It refused a connection a moment ago."""


@dataclass(frozen=True, slots=True)
class Candidate:
    endpoint: Endpoint
    weight: int
    in_flight: int
    trust: Trust


# The two-dimensional low-discrepancy sequence of the plastic number (M. Roberts, "The unreasonable
# effectiveness of quasirandom sequences"): successive turns spread evenly, and so does every n-th turn,
# so that one counter serves all routes and needs no chance.
TARGET_STEP = 0.7548776662466927
TIE_STEP = 0.5698402909980532


def candidates(
    table: RoutingTable,
    route: Route,
    *,
    in_flight: Mapping[Endpoint, int],
    failed: Set[Endpoint],
    tried: Set[Endpoint],
) -> list[Candidate]:
    """Everything of the route that could be asked; a target of weight 0 takes no requests."""
    found: list[Candidate] = []
    for target, endpoint in table.endpoints(route):
        if target.weight <= 0 or endpoint in tried:
            continue
        trust = Trust.DOUBTFUL if table.instances.is_doubtful(endpoint) else Trust.GOOD
        if endpoint in failed:
            trust = Trust.FAILED
        found.append(Candidate(endpoint, target.weight, in_flight.get(endpoint, 0), trust))
    return found


def pick(among: Iterable[Candidate], turn: int) -> Endpoint | None:
    """The target by its weight, then its instance with the fewest requests in flight.

    `turn` differs from call to call and decides between equals.
    """
    offered = list(among)
    if not offered:
        return None
    best = min(candidate.trust for candidate in offered)
    trusted = [candidate for candidate in offered if candidate.trust is best]
    weights = {candidate.endpoint.deployment_id: candidate.weight for candidate in trusted}
    deployment_id = _by_weight(weights, turn * TARGET_STEP % 1)
    siblings = [candidate for candidate in trusted if candidate.endpoint.deployment_id == deployment_id]
    fewest = min(candidate.in_flight for candidate in siblings)
    equals = sorted(
        (candidate.endpoint for candidate in siblings if candidate.in_flight == fewest),
        key=lambda endpoint: endpoint.instance_id,
    )
    return equals[int(turn * TIE_STEP % 1 * len(equals))]


def _by_weight(weights: Mapping[int, int], place: float) -> int:
    """The key whose share of the line from 0 to 1 holds `place`."""
    left = place * sum(weights.values())
    for key in sorted(weights):
        left -= weights[key]
        if left < 0:
            return key
    return max(weights)
