"""What a worker shows of its devices and its disk, by what the log and telemetry tell."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard_api.projections.folding import BY_RESOURCE, Picture
from modelyard_api.projections.worker_use import in_use
from modelyard_contracts.base import Event
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import EVENT_TYPES
from modelyard_contracts.telemetry import DiskUse, Telemetry

NOW = datetime(2026, 1, 2, tzinfo=UTC)
GOLDEN = Path(__file__).parents[2] / "modelyard_contracts" / "golden"


def recorded(name: str, seq: int) -> Recorded[Event]:
    kind = EVENT_TYPES[name]
    data = kind.model_validate_json((GOLDEN / f"{name}.v{kind.version}.json").read_text())
    return Recorded(
        seq=seq,
        id=f"c/{seq}",
        type=name,
        source="modelyard/test",
        subject=f"{kind.aggregate}/{data.aggregate_id()}",
        time=NOW,
        version=kind.version,
        actor="system",
        correlation_id="c",
        causation_id="c",
        traceparent=None,
        data=data,
    )


def after(*names: str) -> dict[str, Any]:
    """The worker after the golden samples of these events."""
    picture = Picture(lambda env: env)
    for seq, name in enumerate(names, start=1):
        picture.apply(recorded(name, seq))
    [view] = picture.views(BY_RESOURCE["workers"])
    return view


def test_a_disk_is_shown_as_the_log_knows_it_and_as_it_is_right_now() -> None:
    [disk] = after("WorkerRegistered", "WorkerInventoryChanged")["status"]["filesystem"]
    assert (disk["mount_point"], disk["total"], disk["quota"]) == ("/models", 2000, 1500)
    assert (disk["used"], disk["available"]) == (None, None)
    known = after(
        "WorkerRegistered", "WorkerInventoryChanged", "WorkerDiskRoomChanged", "WorkerInventoryChanged"
    )
    assert known["status"]["filesystem"][0]["available"] == 1400
    use = DiskUse(used_bytes=700, room_bytes=1300)
    now = in_use(known, Telemetry(read_at=NOW, cpu_percent=1, memory_used_bytes=1, disk=use))
    [disk] = now["status"]["filesystem"]
    assert (disk["used"], disk["free"], disk["available"]) == (700, 1300, 1300)


def test_what_others_hold_of_a_device_is_known_without_telemetry_too() -> None:
    view = after("WorkerRegistered", "WorkerInventoryChanged", "WorkerForeignMemoryChanged")
    assert view["status"]["gpu_devices"][0]["unmanaged"]["memory"] == 8 * 1024**3
