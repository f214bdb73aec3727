"""The wish to serve a model."""

from typing import ClassVar

from modelyard_contracts.base import Aggregate, Event, Owner
from modelyard_contracts.deployments import DeploymentSpec


class DeploymentEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.DEPLOYMENT
    owner: ClassVar[Owner] = Owner.API
    deployment_id: int

    def aggregate_id(self) -> str:
        return str(self.deployment_id)


class DeploymentRequested(DeploymentEvent):
    version: ClassVar[int] = 2
    name: str
    cluster_id: int
    replicas: int
    spec: DeploymentSpec


class DeploymentUpdated(DeploymentEvent):
    """The wish changed; instances that exist keep what they were created with."""

    version: ClassVar[int] = 2

    name: str
    spec: DeploymentSpec


class DeploymentScaled(DeploymentEvent):
    replicas: int
    previous_replicas: int


class DeploymentDeleted(DeploymentEvent):
    name: str
