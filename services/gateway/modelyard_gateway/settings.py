"""What the gateway takes from its environment and its flags."""

from pathlib import Path

from modelyard_runtime.settings import NatsSettings
from pydantic import Field

from modelyard_gateway.domain.limits import Ejection, Limits

LONGEST_EJECTION_S = 60.0


class GatewaySettings(NatsSettings):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(7701, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, description="Processes that share the port.")
    connect_timeout_s: float = Field(
        5.0, gt=0, description="Seconds for an instance to accept a connection, before another is asked."
    )
    first_byte_timeout_s: float = Field(
        600.0, gt=0, description="Seconds for an instance to begin its answer once it has the request."
    )
    idle_timeout_s: float = Field(
        600.0, gt=0, description="Seconds of silence amid an answer after which a request is given up."
    )
    total_timeout_s: float = Field(0.0, ge=0, description="Seconds for a request in all; 0 for no limit.")
    client_idle_timeout_s: float = Field(
        60.0, gt=0, description="Seconds of silence amid a request's body after which it is refused."
    )
    head_timeout_s: float = Field(10.0, gt=0, description="Seconds for a client to send a request's headers.")
    keepalive_s: float = Field(
        75.0, gt=0, description="Seconds a client's connection is kept without requests."
    )
    skip_failed_s: float = Field(
        5.0,
        ge=0,
        description="Seconds for which an instance that refused a connection is asked only as the last.",
    )
    eject_after: int = Field(
        3, ge=1, description="Failed answers in a row after which an instance is skipped in the same way."
    )
    stalled_after_s: float = Field(
        8.0,
        gt=0,
        description="Seconds of silence of an instance at which requests run, before others are preferred.",
    )
    slow_start_s: float = Field(
        10.0, ge=0, description="Seconds in which a new instance comes to its full share of the requests."
    )
    max_in_flight: int = Field(
        0,
        ge=0,
        description="Requests an instance gets at a time; more wait in their route's queue. 0: any number.",
    )
    queue_size: int = Field(
        100,
        ge=0,
        description="Requests of a route that wait for an instance with room; more are answered 429.",
    )
    queue_timeout_s: float = Field(
        30.0, gt=0, description="Seconds a request waits there, before it gets a 503."
    )
    sse_comment_s: float = Field(
        15.0,
        ge=0,
        description="Seconds between comments to a client that waits for a stream's first event; 0 for none.",
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
    snapshot: Path | None = Field(
        None,
        description="File that keeps the routes and keys, to start from while NATS is away; none if not set.",
    )
    usage_spool: Path | None = Field(
        None,
        description="Directory that keeps what was counted until NATS has it; a temporary one, "
        "which does not outlive a kill, if not set.",
    )
    secret_key: str | None = Field(
        None,
        description="Opens the tokens of relays and the keys of providers: 32 bytes in URL-safe base64, "
        "as the api's.",
    )
    max_head_bytes: int = Field(64 * 1024, gt=0, description="The longest headers of a request.")

    def limits(self) -> Limits:
        return Limits(
            connect_s=self.connect_timeout_s,
            first_byte_s=self.first_byte_timeout_s,
            idle_s=self.idle_timeout_s,
            client_idle_s=self.client_idle_timeout_s,
            total_s=self.total_timeout_s,
            head_s=self.head_timeout_s,
            keepalive_s=self.keepalive_s,
            retry_after_s=self.retry_after_s,
            queue_s=self.queue_timeout_s,
            comment_s=self.sse_comment_s,
            max_head_bytes=self.max_head_bytes,
            max_scan_bytes=self.max_body_bytes,
            unreachable=Ejection(1, self.skip_failed_s, LONGEST_EJECTION_S),
            failing=Ejection(self.eject_after, self.skip_failed_s, LONGEST_EJECTION_S),
            silent_s=self.stalled_after_s,
        )
