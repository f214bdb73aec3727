"""What `modelyard up` can be told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UpOptions:
    state_dir: Path
    host: str = "127.0.0.1"
    """Address that the api and the gateway listen on; NATS and Postgres stay on loopback."""
    api_port: int = 7700
    gateway_port: int = 7701
    nats_port: int = 7702
    worker: bool = True
    log_level: str = "INFO"

    @property
    def api_url(self) -> str:
        return f"http://{self._reach()}:{self.api_port}"

    @property
    def gateway_url(self) -> str:
        return f"http://{self._reach()}:{self.gateway_port}"

    @property
    def nats_url(self) -> str:
        return f"nats://127.0.0.1:{self.nats_port}"

    def _reach(self) -> str:
        """The address from this machine."""
        return "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host
