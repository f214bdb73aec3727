"""`place`: a demand, a picture, a policy; a placement or the reasons against every one. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from modelyard_contracts.deployments import Candidate, Claim, PlacementStrategy, Reason, Subordinate

from modelyard_placement.claims import Sizer
from modelyard_placement.counts import Contradiction, counts_of
from modelyard_placement.demand import Demand
from modelyard_placement.explain import obstacles
from modelyard_placement.filters import CHECKS
from modelyard_placement.fits import Fit
from modelyard_placement.force import forced
from modelyard_placement.picture import Picture, WorkerView
from modelyard_placement.rooms import Rooms, ScannedRooms
from modelyard_placement.scores import points
from modelyard_placement.search import Found, Search, search_in
from modelyard_placement.strategies import steps, take

MOST_REASONS = 50


@dataclass(frozen=True, slots=True)
class Placement:
    worker: WorkerView
    """The primary one."""
    claim: Claim
    strategy: str
    best: tuple[Candidate, ...]
    """This place, then the next best."""
    subordinates: tuple[Subordinate, ...] = ()
    overcommits: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Unplaceable:
    reasons: tuple[Reason, ...]

    def stated(self) -> tuple[Reason, ...]:
        """As many reasons as an event has room for: those that came closest to fitting."""
        return tuple(sorted(self.reasons, key=lambda reason: -CHECKS.index(reason.check))[:MOST_REASONS])

    def message(self) -> str:
        if not self.reasons:
            return "No suitable workers: no worker has joined yet"
        told = self.stated()
        lines = ["No suitable workers.", *(reason.message for reason in told)]
        if len(told) < len(self.reasons):
            counts = Counter(reason.check for reason in self.reasons)
            summary = ", ".join(f"{check} {counts[check]}" for check in CHECKS if counts[check])
            lines.append(f"In all {len(self.reasons)} reasons, by what is lacking: {summary}.")
        return "\n".join(lines)


def place(
    demand: Demand, picture: Picture, policy: PlacementStrategy | None = None, sizer: Sizer | None = None
) -> Placement | Unplaceable:
    """`policy` None: the deployment's own. Neither the order of workers nor that of holdings matters."""
    return place_in(ScannedRooms(picture), demand, policy, sizer)


def place_in(
    rooms: Rooms,
    demand: Demand,
    policy: PlacementStrategy | None = None,
    sizer: Sizer | None = None,
    *,
    explain: bool = True,
) -> Placement | Unplaceable:
    """`place` on rooms that somebody keeps up to date. Not to `explain` leaves out the reasons, for which
    every worker has to be looked at."""
    counts = counts_of(demand)
    if isinstance(counts, Contradiction):
        reason = Reason(
            check="counts", needed=counts.needed, available=counts.available, message=counts.message
        )
        return Unplaceable((reason,))
    policy = policy or demand.spec.placement_strategy
    search = search_in(rooms, demand, counts, policy, sizer or Sizer())
    for step in steps(search):
        found = take(search, step)
        if found:
            best = tuple(candidate(search, one) for one in found)
            return _on(found[0].fits, step.strategy, best=best)
    if demand.spec.force and demand.gpu_ids:
        insisted = forced(search)
        if insisted is not None:
            fits, overcommits = insisted
            return _on(fits, "forced", overcommits=overcommits)
    return Unplaceable(obstacles(search) if explain else ())


def _on(
    fits: Sequence[Fit],
    strategy: str,
    *,
    best: tuple[Candidate, ...] = (),
    overcommits: tuple[Reason, ...] = (),
) -> Placement:
    claims = _claims(fits)
    return Placement(
        worker=fits[0].room.worker,
        claim=claims[0],
        strategy=strategy,
        best=best,
        overcommits=overcommits,
        subordinates=tuple(
            Subordinate(worker_id=fit.room.worker.ident, worker_name=fit.room.worker.name, claim=claim)
            for fit, claim in zip(fits[1:], claims[1:], strict=True)
        ),
    )


def _claims(fits: Sequence[Fit]) -> list[Claim]:
    """Of each worker, whose devices have the next ranks."""
    ends = accumulate(len(fit.devices) for fit in fits)
    return [
        fit.sized.claim(
            fit.devices,
            end - len(fit.devices),
            position,
            is_unified_memory=fit.room.worker.is_unified_memory,
        )
        for position, (fit, end) in enumerate(zip(fits, ends, strict=True))
    ]


def candidate(search: Search, found: Found) -> Candidate:
    fit = found.fits[0]
    # partial offload ranks by layers first
    rank = found.rank[-5:] if search.policy == PlacementStrategy.SPREAD else found.rank[-4:]
    claimed = sum(share.claim_bytes for share in fit.sized.shares[: len(fit.devices)])
    parts = points(search.policy, rank, claimed or fit.sized.ram_bytes[0])
    return Candidate(
        worker=fit.room.worker.name, devices=fit.devices, score=round(sum(parts.values()), 6), parts=parts
    )
