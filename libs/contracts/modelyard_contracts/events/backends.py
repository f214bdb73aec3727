"""Inference backends: those that come with Modelyard, and the operators' own."""

from typing import ClassVar

from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.base import Aggregate, Event, Owner


class InferenceBackendEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.BACKEND
    owner: ClassVar[Owner] = Owner.API
    backend_id: int

    def aggregate_id(self) -> str:
        return str(self.backend_id)


class InferenceBackendDefined(InferenceBackendEvent):
    """It is so from now on. A model server that runs already goes on as it was started.

    Environment values are sealed, as in a deployment's spec.
    """

    backend: InferenceBackend
    is_built_in: bool = False
    edited: tuple[str, ...] = ()
    """Of a built-in backend, the fields that an operator has set; the others follow Modelyard's version."""


class InferenceBackendDeleted(InferenceBackendEvent):
    name: str
