"""What the api takes from its environment."""

from enum import StrEnum
from pathlib import Path

from modelyard_models.sources.settings import ModelSourceSettings
from modelyard_runtime.settings import NatsSettings
from pydantic import Field, SecretStr


class RestoreLog(StrEnum):
    NEVER = "never"
    MISSING = "missing"
    REPLACE = "replace"


class ApiSettings(NatsSettings, ModelSourceSettings):
    """The REST API with its read models."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    api_port: int = Field(7700, description="Port to listen on.")
    tls_certificate: Path | None = Field(
        None, description="Certificate chain (PEM) to serve HTTPS with; plain HTTP if not set."
    )
    tls_key: Path | None = Field(None, description="Its private key (PEM).")
    database: str = Field(..., description="URL of Postgres: postgresql://user:password@host/name.")
    database_pool: int = Field(10, description="Most connections to Postgres.")
    secret_key: SecretStr = Field(
        ..., description="Seals secrets and sessions: 32 bytes in URL-safe base64, the same for all services."
    )
    join_token: SecretStr | None = Field(
        None, description="What a worker shows to join; without one, none may."
    )
    bootstrap_password: SecretStr | None = Field(
        None, description="The first admin's password; generated if not set."
    )
    initial_password_file: Path | None = Field(
        None, description="Where a generated first password is written (0600)."
    )
    nats_account_seed: SecretStr | None = Field(
        None, description="Seed of the NATS account, to mint the workers' credentials with."
    )
    worker_nats: str | None = Field(
        None, description="URL of NATS as workers reach it; as this service does if not set."
    )
    read_wait_s: float = Field(5.0, description="For how long a read waits for the write it names.")
    path_question_s: float = Field(
        3.0, description="For how long workers may take to say if they have a path."
    )
    session_s: int = Field(12 * 3600, description="For how long a login is good.")
    restore_log: RestoreLog = Field(
        RestoreLog.NEVER,
        description="At this start, put back into the event log what it lacks of the archive (missing), or "
        "empty it and put back all of the archive (replace). No other service may run meanwhile.",
    )
