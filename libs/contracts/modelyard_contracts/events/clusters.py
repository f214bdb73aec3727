"""Groups of workers."""

from typing import ClassVar

from modelyard_contracts.base import Aggregate, Event, Owner


class ClusterCreated(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.CLUSTER
    owner: ClassVar[Owner] = Owner.API
    cluster_id: int
    name: str
    description: str | None = None
    is_default: bool = False

    def aggregate_id(self) -> str:
        return str(self.cluster_id)
