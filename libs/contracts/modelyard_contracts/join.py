"""How a worker joins: its agent dials the api once with the join token."""

from modelyard_contracts.base import Contract, Instant


class JoinRequest(Contract):
    name: str
    worker_uuid: str
    public_key: str
    """The public half of the nkey pair that the agent made and keeps."""
    hostname: str
    labels: dict[str, str] = {}
    cluster_id: int | None = None
    """None for the default cluster."""


class JoinAnswer(Contract):
    worker_id: int
    name: str
    nats_url: str
    nats_jwt: str | None = None
    """A NATS user JWT whose permissions are this worker's own subjects; None where NATS asks for none."""
    nats_jwt_expires_at: Instant | None = None
    secret_key: str
    """Opens sealed environment values."""
