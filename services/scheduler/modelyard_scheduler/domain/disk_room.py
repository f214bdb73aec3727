"""How much further models may take of a worker's disk: when it is worth a fact."""

from datetime import datetime, timedelta

from modelyard_contracts.telemetry import Telemetry

from modelyard_scheduler.domain.worker import WorkerState

MATTERS_BYTES = 1024**3
MATTERS_SHARE = 1 / 32
"""Of what was stated last: a large disk need not be known to the gigabyte."""
PAUSE_S = 30.0
"""Between two facts about the same worker: a download is told of in a few."""


def disk_room_to_state(worker: WorkerState, telemetry: Telemetry, now: datetime) -> int | None:
    """Bytes, if they are no longer about what was stated last."""
    if telemetry.disk is None:
        return None
    stated, room = worker.disk_room_bytes, telemetry.disk.room_bytes
    if stated is None or worker.disk_since is None:
        return room
    if now - worker.disk_since < timedelta(seconds=PAUSE_S):
        return None
    return room if abs(room - stated) >= max(MATTERS_BYTES, MATTERS_SHARE * stated) else None
