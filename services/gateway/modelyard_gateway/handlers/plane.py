"""What all requests of one process share."""

from collections.abc import Callable
from dataclasses import dataclass

from modelyard_gateway.adapters.pool import UpstreamPool
from modelyard_gateway.domain.balance import Balancer
from modelyard_gateway.domain.limits import Limits
from modelyard_gateway.domain.record import Record
from modelyard_gateway.handlers.gate import Gate


@dataclass(slots=True)
class Plane:
    """`clock` is the loop's and monotonic, `wall` gives Unix time; both in seconds. `on_finished` gets
    every record once."""

    gate: Gate
    balancer: Balancer
    pool: UpstreamPool
    limits: Limits
    clock: Callable[[], float]
    wall: Callable[[], float]
    on_finished: Callable[[Record], None]
