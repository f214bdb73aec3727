"""What the supervisors of one agent share."""

from dataclasses import dataclass

from modelyard_runtime.clock import Now
from modelyard_runtime.secrets import Sealer

from modelyard_worker_agent.adapters.programs import Programs
from modelyard_worker_agent.adapters.relay import Relay
from modelyard_worker_agent.adapters.run_files import RunFiles
from modelyard_worker_agent.handlers.start_queue import StartQueue
from modelyard_worker_agent.ports import Accelerators, Connections, Executor, Memory, Models, Probe, Reports


@dataclass(frozen=True, slots=True)
class Limits:
    start_timeout_s: float
    liveness_s: float
    probe_timeout_s: float
    unready_failures: int
    liveness_failures: int
    drain_s: float
    vram_back_s: float
    stop_grace_s: float
    measure_after_s: float
    runs_kept: int
    address: str


@dataclass(frozen=True, slots=True)
class Machine:
    """What every supervisor of this agent shares."""

    worker_id: int
    executor: Executor
    accelerators: Accelerators
    probe: Probe
    connections: Connections
    models: Models
    memory: Memory
    programs: Programs
    reports: Reports
    files: RunFiles
    sealer: Sealer
    now: Now
    limits: Limits
    starts: StartQueue
    relay: Relay | None = None
    """None: gateways are on this machine, and reach model servers without."""
