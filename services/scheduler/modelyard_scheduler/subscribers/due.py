"""What is to be done about each fact: the reaction map, readable on one screen.

A number of facts asks for each thing once: handlers look at the picture, which has all of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from modelyard_contracts.base import Event
from modelyard_contracts.events import (
    DeploymentEvent,
    InstanceDeletionRequested,
    InstanceEvent,
    InstanceFailed,
    InstanceMemberPrepared,
    InstanceRemoved,
    InstanceRequested,
    InstanceRestartScheduled,
    InstanceRunning,
    InstanceStarting,
    InstanceStopped,
    ModelFileDeleted,
    ModelFileDeletionRequested,
    ModelFileDownloaded,
    ModelFileFailed,
    ModelFileRequested,
    ModelInspected,
    WorkerDeleted,
    WorkerDevicesReleased,
    WorkerDiskRoomChanged,
    WorkerEvent,
    WorkerForeignMemoryChanged,
    WorkerInventoryChanged,
    WorkerLabelsChanged,
    WorkerLost,
    WorkerMaintenanceChanged,
    WorkerReady,
    WorkerRecovered,
)


@dataclass(slots=True)
class Due:
    """Deployments, workers and instances, by id, with what they are due."""

    give_up: set[int] = field(default_factory=set)
    empty: set[int] = field(default_factory=set)
    """Workers in or out of maintenance: what is on them may have to move."""
    reconcile: set[int] = field(default_factory=set)
    remove: set[int] = field(default_factory=set)
    restart: set[int] = field(default_factory=set)
    wake: set[int] = field(default_factory=set)
    tell: set[int] = field(default_factory=set)
    """If they are on several workers."""
    place: set[int] = field(default_factory=set)
    files: set[int] = field(default_factory=set)
    place_waiting: bool = False

    def add(self, event: Event) -> None:
        match event:
            case DeploymentEvent(deployment_id=ident):
                self.reconcile.add(ident)
            case InstanceEvent():
                self._add_of_instance(event)
            case WorkerEvent():
                self._add_of_worker(event)
            case (
                ModelFileRequested()
                | ModelFileDeletionRequested()
                | ModelFileDownloaded()
                | ModelFileFailed()
                | ModelFileDeleted()
            ):
                self.files.add(event.file_id)
            case ModelInspected():
                self.place_waiting = True
            case _:
                pass

    def _add_of_instance(self, event: InstanceEvent) -> None:
        match event:
            case InstanceRequested(instance_id=ident):
                self.place.add(ident)
            case InstanceFailed(instance_id=ident):
                self.restart.add(ident)
                self.tell.add(ident)
            case InstanceRestartScheduled(instance_id=ident):
                self.wake.add(ident)
            case InstanceStopped(instance_id=ident):
                self.remove.add(ident)
                self.tell.add(ident)
            case InstanceMemberPrepared(instance_id=ident) | InstanceStarting(instance_id=ident):
                self.tell.add(ident)
            case (
                InstanceDeletionRequested(deployment_id=ident)
                | InstanceRunning(deployment_id=ident)
                | InstanceRemoved(deployment_id=ident)
            ):
                self.reconcile.add(ident)
            case _:
                pass

    def _add_of_worker(self, event: WorkerEvent) -> None:
        match event:
            case WorkerMaintenanceChanged(worker_id=ident):
                self.empty.add(ident)
                self.place_waiting = True
            case WorkerLost(worker_id=ident) | WorkerDeleted(worker_id=ident):
                self.give_up.add(ident)
            case (
                WorkerReady()
                | WorkerRecovered()
                | WorkerInventoryChanged()
                | WorkerLabelsChanged()
                | WorkerDevicesReleased()
                | WorkerForeignMemoryChanged()
                | WorkerDiskRoomChanged()
            ):
                self.place_waiting = True
            case _:
                pass


def due(events: Iterable[Event]) -> Due:
    found = Due()
    for event in events:
        found.add(event)
    return found
