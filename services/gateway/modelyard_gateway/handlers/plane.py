"""What all requests of one process share."""

from collections.abc import Callable
from dataclasses import dataclass

from modelyard_gateway.adapters.outbox import Outbox
from modelyard_gateway.adapters.pool import UpstreamPool
from modelyard_gateway.domain.balance import Balancer
from modelyard_gateway.domain.limits import Limits
from modelyard_gateway.domain.record import Record
from modelyard_gateway.handlers.gate import Gate
from modelyard_gateway.handlers.quotas import Quotas
from modelyard_gateway.handlers.waiting import Waiting


@dataclass(slots=True)
class Plane:
    """`clock` is the loop's and monotonic, `wall` gives Unix time; both in seconds. `on_sent` gets a record
    whenever its request goes to an instance, `on_finished` every record once."""

    gate: Gate
    balancer: Balancer
    waiting: Waiting
    pool: UpstreamPool
    outbox: Outbox
    limits: Limits
    clock: Callable[[], float]
    wall: Callable[[], float]
    quotas: Quotas
    on_sent: Callable[[Record], None]
    on_finished: Callable[[Record], None]
