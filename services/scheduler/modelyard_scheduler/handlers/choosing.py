"""Chooses the GGUF models of deployments that named none, by the room there is before the first is placed."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from modelyard_contracts.events import DeploymentFileChosen
from modelyard_contracts.models import ModelFacts, at_file, coordinates_of
from modelyard_contracts.parameters import BadParameters
from modelyard_eventlog.log import Write
from modelyard_models.gguf_choice import Chosen
from modelyard_placement.choosing import choose
from modelyard_placement.claims import Sizer

from modelyard_scheduler.domain.decisions import Said, paths_for
from modelyard_scheduler.domain.instance import LEAVING, UNPLACED, InstanceState
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.views import demand as demand_for
from modelyard_scheduler.handlers.deciding import Decider, Decision


async def choose_files(decider: Decider, sizer: Sizer, instance_ids: Sequence[int], said: Said) -> bool:
    """One choice for all instances of a deployment. True if any is new."""
    firsts: dict[int, int] = {}
    for ident in instance_ids:
        state = decider.picture.instances.get(ident)
        if state is not None:
            firsts.setdefault(state.deployment_id, ident)
    stated = [await decider.state(partial(_chosen, decider, sizer, ident, said)) for ident in firsts.values()]
    return any(stated)


def _chosen(decider: Decider, sizer: Sizer, instance_id: int, said: Said) -> Decision | None:
    """None if nothing is to choose, or the choice stands."""
    picture = decider.picture
    state = picture.instances.get(instance_id)
    if state is None or state.phase not in UNPLACED:
        return None
    at = coordinates_of(state.spec)
    facts = picture.facts_at(at)
    if facts is None or not facts.choices or _is_settled(picture, state):
        return None
    found = _choice(picture, sizer, state, facts, said)
    if found is None or found.choice.file == picture.file_of(state):
        return None
    before = picture.choices.get(state.deployment_id)
    seq = before.seq if before else 0
    event = DeploymentFileChosen(
        deployment_id=state.deployment_id,
        spec_seq=state.spec_seq,
        coordinates=at,
        file=found.choice.file,
        message=found.why,
    )
    return decider.about(state, f"choose/{seq}", [Write(event, seq)])


def _is_settled(picture: Picture, state: InstanceState) -> bool:
    """Replicas serve the same: once one is placed, the others follow it."""
    return any(
        other.spec_seq == state.spec_seq and other.phase not in UNPLACED | LEAVING
        for other in picture.instances_of(state.deployment_id)
    )


def _choice(
    picture: Picture, sizer: Sizer, state: InstanceState, facts: ModelFacts, said: Said
) -> Chosen | None:
    at = coordinates_of(state.spec)
    try:
        demand = demand_for(state, facts, picture.beside(state.spec), replicas=1)
    except BadParameters:
        return None
    demand = replace(demand, paths=paths_for(state, said))
    return choose(picture.rooms, demand, sizer, lambda file: picture.facts_at(at_file(at, file)))
