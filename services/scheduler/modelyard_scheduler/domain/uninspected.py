"""What is stated of an instance whose models nobody could look at: a pure function of the picture and of what
their sources said, which is kept with it, so that it can be made again."""

from collections.abc import Mapping

from modelyard_contracts.companions import companions_of
from modelyard_contracts.deployments import Reason, Source
from modelyard_contracts.events import Decision, InstanceUnschedulable, SourceSaid
from modelyard_contracts.models import ModelCoordinates
from modelyard_placement.verdicts import Row, Verdict, alike

from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase
from modelyard_scheduler.domain.picture import Picture

POLICY = "inspect/2"
CHECK = "model_metadata"


def models_of(picture: Picture, state: InstanceState) -> list[tuple[str, ModelCoordinates]]:
    """Its own model, and its companions with the fields that name them."""
    return [("", picture.coordinates(state)), *companions_of(state.spec)]


def is_own_path(field: str, coordinates: ModelCoordinates) -> bool:
    """Of which each worker tells for itself."""
    return not field and coordinates.source is Source.LOCAL_PATH


def uninspected(
    picture: Picture, state: InstanceState, said: Mapping[str, str], decided_at_seq: int
) -> InstanceUnschedulable | None:
    """`said`: by the field that names a model, why its source could not tell of it. None: nothing is to be
    said, or nothing new."""
    told = tuple(
        SourceSaid(field=field, message=said[field])
        for field, at in models_of(picture, state)
        if field in said and picture.facts_at(at) is None and not is_own_path(field, at)
    )
    reasons = tuple(
        Reason(check=CHECK, message=f"{one.field}: {one.message}" if one.field else one.message)
        for one in told
    )
    was_told = state.phase is Phase.UNSCHEDULABLE and state.reasons == reasons
    if not reasons or was_told or state.phase not in UNPLACED:
        return None
    everyone = {room.worker.ident: (Row((), Verdict(CHECK)),) for room in picture.rooms.everyone()}
    return InstanceUnschedulable(
        instance_id=state.instance_id,
        deployment_id=state.deployment_id,
        message=f"The model cannot be inspected: {'; '.join(reason.message for reason in reasons)}",
        reasons=reasons,
        decision=Decision(
            policy=POLICY,
            decided_at_seq=decided_at_seq,
            workers=len(picture.workers),
            verdicts=alike(everyone),
            sources=told,
        ),
    )
