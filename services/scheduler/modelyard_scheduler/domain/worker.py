"""A machine as the scheduler sees it: whether it can be used, what it has, and what of that is taken."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, assert_never

from modelyard_contracts.deployments import Claim
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    WorkerDeleted,
    WorkerDevicesReleased,
    WorkerDevicesReserved,
    WorkerDiskRoomChanged,
    WorkerForeignMemoryChanged,
    WorkerInventoryChanged,
    WorkerLabelsChanged,
    WorkerLost,
    WorkerMaintenanceChanged,
    WorkerReady,
    WorkerRecovered,
    WorkerRegistered,
    WorkerSilent,
)
from modelyard_contracts.inventory import Inventory

WorkerFact = (
    WorkerRegistered
    | WorkerLabelsChanged
    | WorkerMaintenanceChanged
    | WorkerDeleted
    | WorkerReady
    | WorkerInventoryChanged
    | WorkerSilent
    | WorkerRecovered
    | WorkerLost
    | WorkerDevicesReserved
    | WorkerDevicesReleased
    | WorkerForeignMemoryChanged
    | WorkerDiskRoomChanged
)
AgentWorkerFact = WorkerReady | WorkerInventoryChanged


class WorkerPhase(StrEnum):
    REGISTERED = "registered"
    """It joined, and its agent has not said yet that it is at work."""
    READY = "ready"
    SILENT = "silent"
    LOST = "lost"
    DELETED = "deleted"


NOTHING: Mapping[str, int] = MappingProxyType({})
NO_CLAIMS: Mapping[int, Claim] = MappingProxyType({})


class WorkerState(NamedTuple):
    worker_id: int
    name: str
    cluster_id: int
    labels: Mapping[str, str]
    phase: WorkerPhase
    seq: int
    """The last sequence of its aggregate."""
    last_seen: datetime
    """The last time that the log knows of: of its latest sign of life that became a fact."""
    ready_seq: int = 0
    """The sequence of the fact that made it ready last."""
    maintenance: bool = False
    drain: bool = False
    foreign: Mapping[str, int] = NOTHING
    """Bytes of devices that processes hold which are none of our instances, as last stated."""
    foreign_since: datetime | None = None
    disk_room_bytes: int | None = None
    """What further models may take of its disk, as last stated; None: nothing is known of it."""
    disk_since: datetime | None = None
    session: str | None = None
    inventory: Inventory | None = None
    reservations: Mapping[int, Claim] = NO_CLAIMS
    """Claims by instance."""
    ram_reserved_bytes: int = 0
    """The sum of `reservations`, kept so that placement need not add it up for every worker."""

    def ram_free_bytes(self) -> int:
        """Below zero if the worker shrank beneath what runs on it."""
        if self.inventory is None:
            return 0
        own = self.inventory.memory_total_bytes - self.inventory.reserved_ram_bytes
        return own - self.ram_reserved_bytes


def is_gone(state: WorkerState | None, worker_id: int) -> str | None:
    """Why nothing can be said of the worker any more; None if it is there."""
    if state is None or state.phase is WorkerPhase.DELETED:
        return f"worker {worker_id} is deleted or was never there"
    return None


def admits(state: WorkerState | None, fact: AgentWorkerFact) -> str | None:
    """Why an agent's fact about its worker says nothing new or cannot be true; None if it can be kept."""
    if state is None or state.phase is WorkerPhase.DELETED:
        return is_gone(state, fact.worker_id)
    match fact:
        case WorkerReady():
            known = state.phase is WorkerPhase.READY and fact.session == state.session
        case WorkerInventoryChanged():
            known = fact.inventory == state.inventory
        case _:
            assert_never(fact)
    return f"{state.name} said so before" if known else None


def evolve(state: WorkerState | None, recorded: Recorded[WorkerFact]) -> WorkerState | None:
    """The worker after a fact; facts about one that never registered change nothing."""
    fact = recorded.data
    if isinstance(fact, WorkerRegistered):
        return _registered(fact, recorded)
    if state is None:
        return None
    state = state._replace(seq=recorded.seq)
    match fact:
        case WorkerLabelsChanged():
            return state._replace(labels=fact.labels)
        case WorkerMaintenanceChanged():
            return state._replace(maintenance=fact.enabled, drain=fact.drain)
        case WorkerInventoryChanged():
            return state._replace(inventory=fact.inventory)
        case WorkerForeignMemoryChanged() | WorkerDiskRoomChanged():
            return _measured(state, fact, recorded.time)
        case WorkerDevicesReserved():
            return _with(state, {**state.reservations, fact.instance_id: fact.claim})
        case WorkerDevicesReleased():
            kept = {key: claim for key, claim in state.reservations.items() if key != fact.instance_id}
            return _with(state, kept)
        case WorkerReady() | WorkerSilent() | WorkerRecovered() | WorkerLost() | WorkerDeleted():
            return _moved(state, fact, recorded.time)
        case _:
            assert_never(fact)


def _registered(fact: WorkerRegistered, recorded: Recorded[WorkerFact]) -> WorkerState:
    return WorkerState(
        worker_id=fact.worker_id,
        name=fact.name,
        cluster_id=fact.cluster_id,
        labels=fact.labels,
        phase=WorkerPhase.REGISTERED,
        seq=recorded.seq,
        last_seen=recorded.time,
    )


def _measured(
    state: WorkerState, fact: WorkerForeignMemoryChanged | WorkerDiskRoomChanged, time: datetime
) -> WorkerState:
    if isinstance(fact, WorkerForeignMemoryChanged):
        return state._replace(foreign=fact.vram_bytes, foreign_since=time)
    return state._replace(disk_room_bytes=fact.room_bytes, disk_since=time)


def _with(state: WorkerState, reservations: Mapping[int, Claim]) -> WorkerState:
    total = sum(claim.ram_bytes for claim in reservations.values())
    return state._replace(reservations=reservations, ram_reserved_bytes=total)


def _moved(
    state: WorkerState,
    fact: WorkerReady | WorkerSilent | WorkerRecovered | WorkerLost | WorkerDeleted,
    time: datetime,
) -> WorkerState:
    if state.phase is WorkerPhase.DELETED:
        return state
    match fact:
        case WorkerReady():
            ready = state._replace(phase=WorkerPhase.READY, ready_seq=state.seq, last_seen=time)
            return ready._replace(session=fact.session)
        case WorkerRecovered():
            return state._replace(phase=WorkerPhase.READY, ready_seq=state.seq, last_seen=time)
        case WorkerSilent():
            return state._replace(phase=WorkerPhase.SILENT, last_seen=fact.last_seen)
        case WorkerLost():
            return state._replace(phase=WorkerPhase.LOST)
        case WorkerDeleted():
            return state._replace(phase=WorkerPhase.DELETED)
        case _:
            assert_never(fact)
