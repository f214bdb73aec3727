"""What models were found to be at their sources."""

from typing import ClassVar

from modelyard_contracts.base import Aggregate, Event, Owner
from modelyard_contracts.models import ModelCoordinates, ModelFacts

NUMBER_DIGITS = 13


class ModelInspected(Event):
    """Stated again where a model is looked at anew: the last one counts."""

    aggregate: ClassVar[Aggregate] = Aggregate.MODEL
    owner: ClassVar[Owner] = Owner.SCHEDULER
    coordinates: ModelCoordinates
    facts: ModelFacts

    def aggregate_id(self) -> str:
        return self.coordinates.model_id()

    @property
    def number(self) -> int:
        """The id as a number that JSON keeps exact: 52 bits of it."""
        return model_number(self.coordinates.model_id())


def model_number(model_id: str) -> int:
    return int(model_id[:NUMBER_DIGITS], 16)
