"""What the api keeps of a worker: who it is, its labels, its maintenance."""

from dataclasses import dataclass, replace
from typing import Any

from modelyard_contracts.commands import WorkerUpdate
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
            deleted=False,
            seq=event.seq,
        )
    if state is None:
        return None
    state = replace(state, seq=event.seq)
    match event.data:
        case WorkerLabelsChanged(labels=labels):
            return replace(state, labels=labels)
        case WorkerMaintenanceChanged(enabled=enabled, message=message):
            return replace(state, maintenance=enabled, maintenance_message=message)
        case WorkerDeleted():
            return replace(state, deleted=True)
        case _:
            return state


def decide_update(command: WorkerUpdate, state: Worker) -> list[WorkerEvent]:
    events: list[WorkerEvent] = []
    if command.labels is not None and command.labels != state.labels:
        events.append(WorkerLabelsChanged(worker_id=state.worker_id, labels=command.labels))
    wanted = command.maintenance
    if wanted and (wanted.enabled, wanted.message) != (state.maintenance, state.maintenance_message):
        events.append(
            WorkerMaintenanceChanged(
                worker_id=state.worker_id, enabled=wanted.enabled, message=wanted.message
            )
        )
    return events


def free_name(wanted: str, number: int) -> str:
    """The `number`-th name to try: the wanted one, then with -1, -2, ... behind it."""
    return wanted if number == 0 else f"{wanted}-{number}"
