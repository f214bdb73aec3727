"""All machines together."""

from typing import ClassVar

from modelyard_contracts.base import Aggregate, Event, Owner

THE_FLEET = "all"
"""The id of the one fleet there is."""


class FleetEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.FLEET
    owner: ClassVar[Owner] = Owner.SCHEDULER

    def aggregate_id(self) -> str:
        return THE_FLEET


class FleetStormDetected(FleetEvent):
    """So many workers are silent at once that the fault is more likely the network's or ours than theirs:
    none is given up until it is over."""

    silent_workers: tuple[int, ...]
    """By id."""
    fleet_size: int
    max_lost_share: float
    """The share that may be silent without being a storm."""


class FleetStormEnded(FleetEvent):
    """Workers that are still silent get their whole grace from now on."""

    silent_workers: tuple[int, ...]
    fleet_size: int
