"""What handlers need from the outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from modelyard_contracts.base import Aggregate
from modelyard_contracts.models import ModelCoordinates, ModelFacts


@dataclass(frozen=True, slots=True)
class WorkerPath:
    """What one worker says about a path."""

    worker: str
    found: bool
    answered: bool
    message: str
    facts: ModelFacts | None = None


class Paths(Protocol):
    async def ask_workers(self, path: str) -> Sequence[WorkerPath]:
        """Asks every ready worker at once; empty if there is none."""
        ...


class Directory(Protocol):
    """What is known of ids; may be a little behind the log, which has the last word."""

    async def highest_id(self, aggregate: Aggregate) -> int: ...

    async def default_cluster_id(self) -> int | None: ...

    async def deployments_on(self, backend: str) -> Sequence[str]:
        """The names of some deployments that run on this backend."""
        ...

    async def routes_to(self, provider_id: int) -> Sequence[str]:
        """The names of some routes with a target at this provider."""
        ...

    async def instances_with(self, worker_id: int, model: ModelCoordinates) -> Sequence[str]:
        """The names of some instances that have this model on that worker."""
        ...


class Passwords(Protocol):
    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, password_hash: str) -> bool: ...


class WorkerCredentials(Protocol):
    def mint(self, public_key: str, worker_id: int) -> tuple[str, datetime] | None:
        """A NATS user JWT and when it ends, or None where NATS asks for none."""
        ...
