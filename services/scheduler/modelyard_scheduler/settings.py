"""What the scheduler takes from its environment."""

from modelyard_models.sources.settings import ModelSourceSettings
from modelyard_runtime.settings import NatsSettings
from pydantic import Field, SecretStr


class SchedulerSettings(NatsSettings, ModelSourceSettings):
    """Turns desired replicas into instances, places them, restarts and replaces them."""

    secret_key: SecretStr | None = Field(
        None,
        description="Opens deployments' hub tokens: 32 bytes in URL-safe base64, as the api's. Without it, "
        "gated models are looked at with the configured tokens only.",
    )
    silent_after_s: float = Field(10.0, description="Silence after which a worker counts as unknown.")
    worker_grace_s: float = Field(180.0, description="Silence after which a worker's instances are replaced.")
    max_lost_share: float = Field(
        0.3,
        ge=0,
        le=1,
        description="How much of the fleet may be given up at a time; one worker always may. "
        "More that is silent at once is a storm, in which none is.",
    )
    restart_base_s: float = Field(
        10.0, description="Delay before the first restart; doubles with each further."
    )
    restart_max_s: float = Field(300.0, description="The longest delay before a restart.")
    restart_reset_s: float = Field(
        600.0, description="A stretch of running that long makes the next failure the first again."
    )
    failed_grace_s: float = Field(
        300.0, description="For how long an instance that failed for good keeps its room."
    )
    reconcile_s: float = Field(10.0, description="Time between sweeps that close every gap.")
    presence_s: float = Field(1.0, description="Time between looks at who is there.")
    path_question_s: float = Field(2.0, description="Time a worker may take to say if it has a path.")
    scheduler_health_port: int = Field(
        0, description="Loopback port for GET /healthz and /readyz; 0 for none."
    )
