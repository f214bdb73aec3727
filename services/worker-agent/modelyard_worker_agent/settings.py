"""What the agent takes from its environment."""

import socket
from pathlib import Path
from typing import Literal

from modelyard_models.sources.settings import HubSettings
from modelyard_runtime.settings import NatsSettings
from pydantic import Field, SecretStr


class WorkerSettings(NatsSettings, HubSettings):
    """The agent of one machine: starts model servers and keeps watch over them. `modelyard worker drain NAME`
    and `modelyard worker resume NAME` are asked of the api and take no settings."""

    api: str = Field("http://127.0.0.1:7700", description="URL of the api, to join with.")
    join_token: SecretStr | None = Field(None, description="The installation's join token.")
    worker_name: str = Field(socket.gethostname(), description="Name to join by.")
    worker_state: Path = Field(
        Path.home() / ".local/share/modelyard-worker",
        description="Directory for runs, logs, models, identity.",
    )
    labels: dict[str, str] = Field({}, description='Labels to join with, as JSON: {"zone": "a"}.')
    worker_address: str = Field("127.0.0.1", description="Address other machines reach this one by.")
    executor: Literal["process", "docker"] = Field(
        "process", description="How model servers run: as processes, or in containers of a Docker engine."
    )
    docker_socket: str = Field("/var/run/docker.sock", description="Unix socket of the Docker engine.")
    docker_network: str | None = Field(
        None,
        description="Network for containers, where the agent is on it too; else ports are published.",
    )
    backend_programs: dict[str, str] = Field(
        {}, description='Programs of backends that are not on PATH, as JSON: {"vLLM": "/opt/vllm/bin/vllm"}.'
    )
    relay_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of the relay by which gateways reach model servers; 0 takes a free one. "
        "Not set: as 0, but no relay where the worker's address is a loopback address.",
    )
    reserved_ram_bytes: int = Field(0, description="Memory that is not given to model servers.")
    heartbeat_s: float = Field(2.0, description="Time between heartbeats.")
    telemetry_s: float = Field(5.0, gt=0, description="Time between looks at how busy the machine is.")
    inventory_s: float = Field(30.0, gt=0, description="Time between looks at what the machine has.")
    silent_after_s: float = Field(10.0, description="Silence after which the worker counts as unknown.")
    measure_after_s: float = Field(
        30.0, gt=0, description="For how long a model server serves before its memory is measured."
    )
    starts_at_once: int = Field(
        0, ge=0, description="How many model servers may be starting at a time. 0: one per CPU, two at least."
    )
    start_timeout_s: float = Field(600.0, description="For how long a model server may take to start.")
    liveness_s: float = Field(1.5, gt=0, description="Time between looks at a running model server.")
    probe_timeout_s: float = Field(2.0, gt=0, description="For how long one look may take.")
    unready_failures: int = Field(
        2, ge=1, description="Failed looks in a row after which no requests are sent to it."
    )
    liveness_failures: int = Field(
        12, ge=1, description="Failed looks in a row after which it counts as hung and is started anew."
    )
    drain_s: float = Field(
        300.0, ge=0, description="For how long requests may be finished before a model server is ended."
    )
    vram_back_s: float = Field(
        60.0, ge=0, description="For how long an ended model server's device memory is waited for."
    )
    stop_grace_s: float = Field(
        30.0, description="For how long a model server may take to end before it is killed."
    )
    log_runs_kept: int = Field(5, ge=1, description="How many starts' logs are kept of an instance.")
    log_instance_bytes: int = Field(
        64 * 2**20, ge=2**20, description="Most that is kept of an instance's logs; the oldest lines go."
    )
    removed_logs_kept_s: float = Field(
        7 * 24 * 3600.0, description="For how long the logs of a removed instance are kept."
    )
    stop_models_on_exit: bool = Field(
        False, description="End the model servers with the agent; else they go on and are adopted later."
    )
    model_disk_bytes: int = Field(
        0, ge=0, description="Most that downloaded models may take; the least used go. 0: all there is."
    )
    downloads_at_once: int = Field(
        4, ge=1, description="How many models, and how many files of each, are downloaded at a time."
    )
    worker_health_port: int = Field(0, description="Loopback port for GET /healthz and /readyz; 0 for none.")
