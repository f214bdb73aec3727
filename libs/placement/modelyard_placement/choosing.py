"""Which GGUF model of a repository there is room for, where a deployment left that open. Pure."""

from collections.abc import Callable

from modelyard_contracts.models import GgufChoice, ModelFacts
from modelyard_models.gguf_choice import Chosen, smallest_good
from modelyard_models.scaling import scaled

from modelyard_placement.claims import Sizer
from modelyard_placement.demand import Demand, demand_of
from modelyard_placement.place import Placement, place_in
from modelyard_placement.rooms import Rooms

Known = Callable[[str], ModelFacts | None]
"""What is known of another of the choices, by its file."""


def choose(rooms: Rooms, demand: Demand, sizer: Sizer, known: Known) -> Chosen | None:
    """The smallest good one that could be placed now. None: there is nothing to choose.

    Choices of which nothing is known yet are taken to be like the demand's own model with other weights, at
    best: once the one that was chosen is known, the same question is answered exactly."""
    model = demand.model
    if model is None or not model.choices:
        return None

    def fits(choice: GgufChoice) -> bool:
        own = model if choice.file == model.file else known(choice.file)
        facts = own or scaled(model, choice.bytes / max(model.weight_bytes, 1))
        found = place_in(rooms, of_model(demand, facts), sizer=sizer, explain=False)
        return isinstance(found, Placement)

    return smallest_good(model.choices, fits)


def of_model(demand: Demand, model: ModelFacts) -> Demand:
    """The same with another model."""
    return demand_of(
        demand.name,
        demand.spec,
        deployment=demand.deployment,
        cluster_id=demand.cluster_id,
        model=model,
        draft=demand.draft,
        adapters=demand.adapters,
        replicas=demand.replicas,
        paths=demand.paths,
    )
