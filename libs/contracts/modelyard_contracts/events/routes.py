"""Public model names and where they lead."""

from typing import ClassVar

from modelyard_contracts.base import Aggregate, Contract, Event, Owner
from modelyard_contracts.deployments import Category


class RouteTarget(Contract):
    deployment_id: int
    weight: int = 100


class RouteEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.ROUTE
    owner: ClassVar[Owner] = Owner.API
    route_id: int

    def aggregate_id(self) -> str:
        return str(self.route_id)


class RouteCreated(RouteEvent):
    name: str
    targets: tuple[RouteTarget, ...]
    generic_proxy: bool
    categories: tuple[Category, ...] = ()
    created_model_id: int | None = None
    """The deployment that brought this route, which goes when it goes."""


class RouteChanged(RouteEvent):
    name: str
    targets: tuple[RouteTarget, ...]
    generic_proxy: bool
    categories: tuple[Category, ...] = ()
    created_model_id: int | None = None


class RouteDeleted(RouteEvent):
    name: str
