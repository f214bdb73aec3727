"""What others hold of a worker's devices: when it is worth a fact."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from modelyard_contracts.telemetry import Telemetry

from modelyard_scheduler.domain.worker import WorkerState

MATTERS_BYTES = 512 * 1024**2
"""Less than this decides no placement."""
PAUSE_S = 10.0
"""Between two facts about the same worker: memory that grows step by step is told of in a few."""


def foreign_to_state(worker: WorkerState, telemetry: Telemetry, now: datetime) -> dict[str, int] | None:
    """Bytes by device, if they are no longer about what was stated last."""
    if worker.foreign_since is not None and now - worker.foreign_since < timedelta(seconds=PAUSE_S):
        return None
    measured = {use.device: use.foreign_bytes for use in telemetry.devices if use.foreign_bytes}
    return measured if _differ(worker.foreign, measured) else None


def _differ(stated: Mapping[str, int], measured: Mapping[str, int]) -> bool:
    devices = stated.keys() | measured.keys()
    return any(abs(stated.get(key, 0) - measured.get(key, 0)) >= MATTERS_BYTES for key in devices)
