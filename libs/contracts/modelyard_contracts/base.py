"""The base of everything that crosses a process boundary."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict

Instant = AwareDatetime
"""A moment in time; always aware, always UTC on the wire."""


class Contract(BaseModel):
    """A value that is never changed in place and holds no field it does not declare."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Owner(StrEnum):
    """The service that alone may construct an event type (`docs/decisions/0003-who-states-what.md`)."""

    API = "api"
    SCHEDULER = "scheduler"
    WORKER_AGENT = "worker-agent"
    GATEWAY = "gateway"


class Aggregate(StrEnum):
    """What a stream of facts is about; the middle token of the log's subject."""

    DEPLOYMENT = "deployment"
    INSTANCE = "instance"
    WORKER = "worker"
    FLEET = "fleet"
    ROUTE = "route"
    PROVIDER = "provider"
    CLUSTER = "cluster"
    BACKEND = "backend"
    USER = "user"
    API_KEY = "apikey"
    NAME = "name"
    MODEL = "model"
    MODEL_FILE = "modelfile"
    CHOICE = "choice"


class Event(Contract):
    """The data of one fact. Subclasses say what it is about, who states it, and its version.

    `version` goes up when the shape changes; `upcasters.py` then lifts the older shapes.
    A change of meaning is a new class.
    """

    aggregate: ClassVar[Aggregate]
    owner: ClassVar[Owner]
    version: ClassVar[int] = 1

    def aggregate_id(self) -> str:
        """The id of the aggregate this fact belongs to: the last token of the log's subject."""
        raise NotImplementedError


def utc(moment: datetime) -> str:
    """RFC 3339 in UTC, as CloudEvents wants `time`."""
    return moment.isoformat().replace("+00:00", "Z")
