from datetime import UTC, datetime, timedelta

from modelyard_api.adapters.telemetry import WorkerTelemetry
from modelyard_contracts.messages import Heartbeat
from modelyard_contracts.telemetry import Telemetry

START = datetime(2026, 1, 2, tzinfo=UTC)


async def test_the_telemetry_of_a_silent_worker_is_not_shown() -> None:
    now = START
    workers = WorkerTelemetry(lambda: now)
    telemetry = Telemetry(read_at=START, cpu_percent=1.0, memory_used_bytes=2)
    await workers.hear(Heartbeat(worker_id=1, session="s", sent_at=START, telemetry=telemetry))
    now += timedelta(seconds=10)
    assert (workers.of(1), workers.of(2)) == (telemetry, None)
    now += timedelta(seconds=1)
    assert workers.of(1) is None
    await workers.hear(Heartbeat(worker_id=1, session="s", sent_at=now, telemetry=telemetry))
    assert workers.of(1) == telemetry
    await workers.hear(Heartbeat(worker_id=1, session="s", sent_at=now))
    assert workers.of(1) is None
