"""What models were found to be at their sources, and which of them deployments serve."""

from typing import ClassVar

from modelyard_contracts.base import Aggregate, Event, Owner
from modelyard_contracts.models import ModelCoordinates, ModelFacts

NUMBER_DIGITS = 13


class ModelInspected(Event):
    """Stated again where a model is looked at anew: the last one counts."""

    aggregate: ClassVar[Aggregate] = Aggregate.MODEL
    owner: ClassVar[Owner] = Owner.SCHEDULER
    version: ClassVar[int] = 2
    coordinates: ModelCoordinates
    facts: ModelFacts

    def aggregate_id(self) -> str:
        return self.coordinates.model_id()

    @property
    def number(self) -> int:
        """The id as a number that JSON keeps exact: 52 bits of it."""
        return model_number(self.coordinates.model_id())


class DeploymentFileChosen(Event):
    """Which GGUF model of its repository a deployment serves that named none: the smallest good one for the
    room at hand. Stated again where no instance is placed yet and the room has changed: the last counts."""

    aggregate: ClassVar[Aggregate] = Aggregate.CHOICE
    owner: ClassVar[Owner] = Owner.SCHEDULER
    deployment_id: int
    spec_seq: int
    """As of `InstanceRequested`: another spec is chosen for anew."""
    coordinates: ModelCoordinates
    """What it was chosen from."""
    file: str
    message: str
    """Why, for people."""

    def aggregate_id(self) -> str:
        return str(self.deployment_id)


def model_number(model_id: str) -> int:
    return int(model_id[:NUMBER_DIGITS], 16)
