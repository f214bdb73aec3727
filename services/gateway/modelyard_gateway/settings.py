"""What the gateway takes from its environment and its flags."""

from modelyard_runtime.settings import NatsSettings
from pydantic import Field


class GatewaySettings(NatsSettings):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(7701, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    connect_timeout_s: float = Field(
        5.0, gt=0, description="Seconds for an instance to accept a connection, before another is asked."
    )
    idle_timeout_s: float = Field(
        600.0, gt=0, description="Seconds of silence from an instance after which a request is given up."
    )
    skip_failed_s: float = Field(
        5.0,
        ge=0,
        description="Seconds for which an instance that refused a connection is asked only as the last.",
    )
    retry_after_s: int = Field(5, ge=1, description="What clients are told to wait after a 503, in seconds.")
    shutdown_grace_s: int = Field(
        30, ge=0, description="Seconds that running responses get to finish when the gateway is stopped."
    )
    max_body_bytes: int = Field(
        64 * 1024 * 1024,
        gt=0,
        description="How much of a request's body is read at most to find its model.",
    )
