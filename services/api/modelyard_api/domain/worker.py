"""What the api keeps of a worker: who it is, its labels, its maintenance."""

from dataclasses import dataclass, replace
from typing import Any

from modelyard_contracts.commands import Maintenance, WorkerUpdate
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    WorkerDeleted,
    WorkerEvent,
    WorkerLabelsChanged,
    WorkerMaintenanceChanged,
    WorkerRegistered,
)


@dataclass(frozen=True, slots=True)
class Worker:
    worker_id: int
    name: str
    worker_uuid: str
    public_key: str
    labels: dict[str, str]
    maintenance: bool
    maintenance_message: str | None
    drain: bool
    deleted: bool
    seq: int


def evolve(state: Worker | None, event: Recorded[Any]) -> Worker | None:
    if isinstance(event.data, WorkerRegistered):
        data = event.data
        return Worker(
            worker_id=data.worker_id,
            name=data.name,
            worker_uuid=data.worker_uuid,
            public_key=data.public_key,
            labels=data.labels,
            maintenance=False,
            maintenance_message=None,
            drain=False,
            deleted=False,
            seq=event.seq,
        )
    if state is None:
        return None
    state = replace(state, seq=event.seq)
    match event.data:
        case WorkerLabelsChanged(labels=labels):
            return replace(state, labels=labels)
        case WorkerMaintenanceChanged(enabled=enabled, message=message, drain=drain):
            return replace(state, maintenance=enabled, maintenance_message=message, drain=drain)
        case WorkerDeleted():
            return replace(state, deleted=True)
        case _:
            return state


def decide_update(command: WorkerUpdate, state: Worker) -> list[WorkerEvent]:
    events: list[WorkerEvent] = []
    if command.labels is not None and command.labels != state.labels:
        events.append(WorkerLabelsChanged(worker_id=state.worker_id, labels=command.labels))
    wanted = command.maintenance
    if wanted and _said(wanted) != (state.maintenance, state.maintenance_message, state.drain):
        enabled, message, drain = _said(wanted)
        changed = WorkerMaintenanceChanged(
            worker_id=state.worker_id, enabled=enabled, message=message, drain=drain
        )
        events.append(changed)
    return events


def _said(wanted: Maintenance) -> tuple[bool, str | None, bool]:
    """A worker that is not in maintenance is not drained either."""
    return wanted.enabled, wanted.message, wanted.enabled and wanted.drain


def free_name(wanted: str, number: int) -> str:
    """The `number`-th name to try: the wanted one, then with -1, -2, ... behind it."""
    return wanted if number == 0 else f"{wanted}-{number}"
