"""What would happen: deployments placed on a cluster one after another, and workers drained or lost. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from modelyard_contracts.deployments import Claim, PlacementStrategy

from modelyard_placement.claims import Sizer
from modelyard_placement.cluster import BadInput, Cluster, paths_of
from modelyard_placement.demand import Demand, as_it_is
from modelyard_placement.figures import Figures, figures_of
from modelyard_placement.index import Index
from modelyard_placement.picture import Holding, Picture
from modelyard_placement.place import Placement, Unplaceable, place_in

Fate = Literal["drained", "lost"]
NAMED = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    deployment: str
    instance: str
    result: Placement | Unplaceable
    moved_from: str | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    outcomes: tuple[Outcome, ...]
    before: Figures
    after: Figures

    @property
    def all_fit(self) -> bool:
        return all(isinstance(outcome.result, Placement) for outcome in self.outcomes)


def simulate(
    cluster: Cluster,
    demands: Sequence[Demand],
    fates: Mapping[str, Fate],
    sizer: Sizer,
    policy: PlacementStrategy | None = None,
) -> Simulation:
    """Those on drained and lost workers are placed anew first, then the deployments in their order; an
    instance that is placed takes its room. Raises `BadInput`."""
    picture = cluster.picture()
    demands = [replace(one, paths=paths_of(cluster, picture, one.spec.local_path)) for one in demands]
    before = figures_of(Index(picture).everyone())
    rooms, homeless = _after(cluster, picture, fates)
    known = {demand.name: demand for demand in demands}
    outcomes = []
    for at, parts in homeless.items():
        demand = known.get(cluster.instances[at].deployment) or _moved(cluster, picture, at, parts)
        name = cluster.instances[at].name or f"{demand.name}-{at}"
        result = _settle(rooms, demand, ("moved", at), sizer, policy)
        outcomes.append(Outcome(demand.name, name, result, _origin(picture, fates, parts)))
    for demand in demands:
        for number in range(1, demand.replicas + 1):
            result = _settle(rooms, demand, (demand.name, number), sizer, policy)
            outcomes.append(Outcome(demand.name, f"{demand.name}-{number}", result))
    return Simulation(tuple(outcomes), before, figures_of(rooms.everyone()))


def _settle(
    rooms: Index,
    demand: Demand,
    instance: tuple[str, int],
    sizer: Sizer,
    policy: PlacementStrategy | None,
) -> Placement | Unplaceable:
    result = place_in(rooms, demand, policy, sizer)
    if isinstance(result, Placement):
        rooms.take(demand.holding(instance, result.worker.ident, result.claim))
        for part in result.subordinates:
            rooms.take(demand.holding(instance, part.worker_id, part.claim))
    return result


def _after(
    cluster: Cluster, picture: Picture, fates: Mapping[str, Fate]
) -> tuple[Index, dict[int, list[Holding]]]:
    """The cluster after what befell its workers; what must be placed anew, by its position in the file."""
    names = {worker.name for worker in picture.workers}
    for name in fates:
        if name not in names:
            known = f"it has {', '.join(sorted(names)[:NAMED])}" if names else "it has none"
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            raise BadInput(f"no worker is called {name!r}: {known}{more}")
    gone = {worker.ident for worker in picture.workers if worker.name in fates}
    homeless: dict[int, list[Holding]] = {}
    moving = {holding.instance for holding in picture.holdings if holding.worker in gone}
    for holding in picture.holdings:
        if holding.instance in moving and isinstance(holding.instance, int):
            homeless.setdefault(holding.instance, []).append(holding)
    workers = tuple(
        replace(worker, maintenance=True) if fates.get(worker.name) == "drained" else worker
        for worker in picture.workers
        if fates.get(worker.name) != "lost"
    )
    left = tuple(holding for holding in picture.holdings if holding.instance not in moving)
    return Index(Picture(workers, left)), dict(sorted(homeless.items()))


def _moved(cluster: Cluster, picture: Picture, at: int, parts: Sequence[Holding]) -> Demand:
    clusters = {worker.ident: worker.cluster_id for worker in picture.workers}
    claims: tuple[Claim, ...] = tuple(part.claim for part in parts)
    return as_it_is(cluster.instances[at].deployment, claims, clusters[parts[0].worker])


def _origin(picture: Picture, fates: Mapping[str, Fate], parts: Sequence[Holding]) -> str:
    names = {worker.ident: worker.name for worker in picture.workers}
    return next(names[part.worker] for part in parts if names[part.worker] in fates)
