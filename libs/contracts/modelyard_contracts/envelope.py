"""The envelope of a fact: CloudEvents 1.0 attributes around an event's own data."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from modelyard_contracts.base import Aggregate, Event, utc
from modelyard_contracts.events import EVENT_TYPES
from modelyard_contracts.upcasters import lift

E_co = TypeVar("E_co", bound=Event, covariant=True)
AGGREGATES = {str(aggregate): aggregate for aggregate in Aggregate}


class UnknownEventType(Exception):
    """The log holds a type (or a newer version of one) that this build does not know."""

    def __init__(self, event_type: str, version: int, seq: int) -> None:
        super().__init__(
            f"event {seq} is {event_type} version {version}, which this build does not know: "
            "upgrade this service before it goes on"
        )


@dataclass(frozen=True, slots=True)
class Cause:
    """Who states something and why. Event ids follow from `command_id`: the same command, the same ids.

    `correlation_id` is the command that started the whole story, `causation_id` the command or event
    that led to this one.
    """

    command_id: str
    actor: str
    """As in `user/1`, `worker/3`, `system/scheduler`."""
    source: str
    time: datetime
    correlation_id: str
    causation_id: str
    traceparent: str | None = None

    def event_id(self, position: int) -> str:
        """The id of the event at `position` in this command's batch."""
        return f"{self.command_id}/{position}"


class Recorded(NamedTuple, Generic[E_co]):
    """One fact as the log keeps it. `seq` is its position: it only grows and never has a gap."""

    seq: int
    id: str
    type: str
    source: str
    subject: str
    """`<aggregate>/<id>`, as in `deployment/3`."""
    time: datetime
    version: int
    actor: str
    correlation_id: str
    causation_id: str
    traceparent: str | None
    data: E_co

    def aggregate(self) -> tuple[Aggregate, str]:
        kind, _, ident = self.subject.partition("/")
        return AGGREGATES[kind], ident

    def cloud_event(self) -> dict[str, Any]:
        """CloudEvents structured mode. `sequence` is the position in the log, to resume from."""
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": self.source,
            "subject": self.subject,
            "time": utc(self.time),
            "datacontenttype": "application/json",
            "dataschemaversion": self.version,
            "sequence": self.seq,
            "correlationid": self.correlation_id,
            "causationid": self.causation_id,
            "actor": self.actor,
            "data": self.data.model_dump(mode="json"),
        }
        if self.traceparent:
            event["traceparent"] = self.traceparent
        return event


def from_cloud_event(event: dict[str, Any]) -> Recorded[Event]:
    """What `cloud_event` made of it. Raises `UnknownEventType`."""
    seq, version = int(event["sequence"]), int(event["dataschemaversion"])
    return Recorded(
        seq=seq,
        id=event["id"],
        type=event["type"],
        source=event["source"],
        subject=event["subject"],
        time=datetime.fromisoformat(event["time"]),
        version=version,
        actor=event["actor"],
        correlation_id=event["correlationid"],
        causation_id=event["causationid"],
        traceparent=event.get("traceparent"),
        data=parse_data(event["type"], version, event["data"], seq=seq),
    )


def parse_body(event_type: str, version: int, body: str | bytes, *, seq: int = 0) -> Event:
    """As `parse_data`, from JSON; much faster for today's shapes."""
    cls = _known(event_type, version, seq)
    if version == cls.version:
        return cls.model_validate_json(body)
    return parse_data(event_type, version, json.loads(body), seq=seq)


def parse_data(event_type: str, version: int, data: dict[str, Any], *, seq: int = 0) -> Event:
    """The event of any version ever written, lifted to today's shape. Raises `UnknownEventType`."""
    cls = _known(event_type, version, seq)
    return cls.model_validate(lift(event_type, version, cls.version, data))


def _known(event_type: str, version: int, seq: int) -> type[Event]:
    cls = EVENT_TYPES.get(event_type)
    if cls is None or version > cls.version:
        raise UnknownEventType(event_type, version, seq)
    return cls


def related_subjects(event: Event) -> tuple[str, ...]:
    """The subjects whose story this fact belongs to, its own first: an instance's facts are part of its
    deployment's and its worker's story too."""
    own = f"{event.aggregate}/{event.aggregate_id()}"
    links = {
        "deployment_id": "deployment",
        "created_model_id": "deployment",
        "worker_id": "worker",
        "user_id": "user",
    }
    found = [own]
    for field, kind in links.items():
        ident = getattr(event, field, None)
        if ident is not None and f"{kind}/{ident}" not in found:
            found.append(f"{kind}/{ident}")
    return tuple(found)
