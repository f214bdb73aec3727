"""The routing table as it is kept on disk, and the table that comes of it."""

from dataclasses import dataclass
from datetime import datetime

from modelyard_gateway.domain.allowances import Allowances
from modelyard_gateway.domain.capacity import Capacity
from modelyard_gateway.domain.keys import Key
from modelyard_gateway.domain.table import Endpoint, Provider, Route, RoutingTable, Served

SHAPE = 6
"""Another number means another shape: such a snapshot is not read."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    shape: int
    log_created: datetime
    """Tells the log that `seq` counts from any other."""
    seq: int
    routes: tuple[Route, ...]
    providers: tuple[Provider, ...]
    endpoints: tuple[Endpoint, ...]
    stopping: tuple[int, ...]
    served: dict[int, Served]
    capacities: dict[int, Capacity]
    silent_workers: tuple[int, ...]
    keys: tuple[Key, ...]
    deleted_users: tuple[int, ...]
    allowances: Allowances
    admins: tuple[int, ...]


def snapshot_of(table: RoutingTable, log_created: datetime) -> Snapshot:
    return Snapshot(
        shape=SHAPE,
        log_created=log_created,
        seq=table.seq,
        routes=tuple(table.routes.by_id.values()),
        providers=tuple(table.providers.values()),
        endpoints=tuple(table.instances.endpoints.values()),
        stopping=tuple(sorted(table.instances.stopping)),
        served=dict(table.instances.served),
        capacities=dict(table.instances.capacities),
        silent_workers=tuple(sorted(table.instances.silent_workers)),
        keys=tuple(table.keys.by_access_key.values()),
        deleted_users=tuple(sorted(table.keys.deleted_users)),
        allowances=Allowances(dict(table.allowances.of_user), dict(table.allowances.of_route)),
        admins=tuple(sorted(table.admins)),
    )


def restore(snapshot: Snapshot) -> RoutingTable:
    table = RoutingTable(seq=snapshot.seq, changes=1, allowances=snapshot.allowances)
    for route in snapshot.routes:
        table.routes.put(route)
    table.providers.update({provider.id: provider for provider in snapshot.providers})
    instances = table.instances
    instances.stopping.update(snapshot.stopping)
    instances.served.update(snapshot.served)
    instances.capacities.update(snapshot.capacities)
    instances.silent_workers.update(snapshot.silent_workers)
    for endpoint in snapshot.endpoints:
        instances.put(endpoint)
    table.admins.update(snapshot.admins)
    table.keys.deleted_users.update(snapshot.deleted_users)
    for key in snapshot.keys:
        table.keys.put(key)
    return table
