"""The machines: who they are, what they hold, whether they are there."""

from typing import ClassVar

from modelyard_contracts.base import Aggregate, Event, Instant, Owner
from modelyard_contracts.deployments import Claim
from modelyard_contracts.inventory import Inventory


class WorkerEvent(Event):
    aggregate: ClassVar[Aggregate] = Aggregate.WORKER
    worker_id: int

    def aggregate_id(self) -> str:
        return str(self.worker_id)


class WorkerRegistered(WorkerEvent):
    owner: ClassVar[Owner] = Owner.API
    name: str
    worker_uuid: str
    public_key: str
    cluster_id: int
    hostname: str
    labels: dict[str, str]


class WorkerLabelsChanged(WorkerEvent):
    owner: ClassVar[Owner] = Owner.API
    labels: dict[str, str]


class WorkerMaintenanceChanged(WorkerEvent):
    owner: ClassVar[Owner] = Owner.API
    version: ClassVar[int] = 2
    enabled: bool
    """Nothing new is placed on it."""
    message: str | None = None
    drain: bool = False
    """What is on it moves elsewhere, one instance of a deployment at a time."""


class WorkerDeleted(WorkerEvent):
    owner: ClassVar[Owner] = Owner.API
    name: str


class WorkerReady(WorkerEvent):
    """An agent took up (or took up again) its work."""

    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    address: str
    agent_version: str
    session: str
    """Differs for every start of the agent."""


class WorkerInventoryChanged(WorkerEvent):
    owner: ClassVar[Owner] = Owner.WORKER_AGENT
    version: ClassVar[int] = 3
    inventory: Inventory


class WorkerSilent(WorkerEvent):
    """No heartbeat came in time: its state is unknown, its instances keep their routes."""

    owner: ClassVar[Owner] = Owner.SCHEDULER
    last_seen: Instant


class WorkerRecovered(WorkerEvent):
    """A silent or lost worker beats again."""

    owner: ClassVar[Owner] = Owner.SCHEDULER


class WorkerLost(WorkerEvent):
    """Silent for longer than the grace period: its instances are replaced elsewhere."""

    owner: ClassVar[Owner] = Owner.SCHEDULER
    last_seen: Instant
    grace_s: float


class WorkerDevicesReserved(WorkerEvent):
    """Written in one batch with `InstanceScheduled`, so that two schedulers cannot over-commit."""

    owner: ClassVar[Owner] = Owner.SCHEDULER
    version: ClassVar[int] = 3
    instance_id: int
    claim: Claim


class WorkerDevicesReleased(WorkerEvent):
    owner: ClassVar[Owner] = Owner.SCHEDULER
    instance_id: int


class WorkerForeignMemoryChanged(WorkerEvent):
    """What processes that are none of our instances hold of its devices, when it changed by an amount that
    matters to placement."""

    owner: ClassVar[Owner] = Owner.SCHEDULER
    vram_bytes: dict[str, int] = {}
    """By device, as in `cuda:0`; those with none left out."""


class WorkerDiskRoomChanged(WorkerEvent):
    """How much further models may take of its disk, when that changed by an amount that matters to
    placement."""

    owner: ClassVar[Owner] = Owner.SCHEDULER
    room_bytes: int
