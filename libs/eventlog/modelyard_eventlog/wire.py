"""An event on the wire: CloudEvents 1.0 in binary style. Headers are attributes, the body is the data."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from modelyard_contracts.base import Contract, Event, utc
from modelyard_contracts.envelope import Cause, Recorded, parse_body
from modelyard_contracts.messages import LogAnswer

from modelyard_eventlog.log import AnyRecorded
from modelyard_eventlog.subjects import subject_of

A = TypeVar("A", bound=Contract)

MAX_EVENT_BYTES = 256 * 1024
MSG_ID = "Nats-Msg-Id"
NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""As JSON has it; not where the backslash is itself escaped."""


class EventTooLarge(Exception):
    """One event would not fit into a message of the log."""

    def __init__(self, event_type: str, size: int) -> None:
        super().__init__(f"{event_type} takes {size} bytes; the log keeps events of up to {MAX_EVENT_BYTES}")


def encode_event(
    event: Event, cause: Cause, position: int, *, story: Cause | None = None
) -> tuple[dict[str, str], bytes]:
    """Headers and body of the event at `position` in its command's batch; who wants it and why is the
    command's affair, or that of `story` if it has one of its own. Raises `EventTooLarge`."""
    body = _without_nul(event.model_dump_json().encode())
    if len(body) > MAX_EVENT_BYTES - 4096:
        raise EventTooLarge(type(event).__name__, len(body))
    headers = _headers(
        event_id=cause.event_id(position),
        event_type=type(event).__name__,
        source=cause.source,
        subject=f"{event.aggregate}/{event.aggregate_id()}",
        time=cause.time,
        version=event.version,
        why=story or cause,
    )
    return headers, body


def encode_recorded(event: AnyRecorded) -> tuple[dict[str, str], bytes]:
    """A fact that had been kept before, as it was, but for its data, which is in today's shape."""
    headers = _headers(
        event_id=event.id,
        event_type=event.type,
        source=event.source,
        subject=event.subject,
        time=event.time,
        version=event.data.version,
        why=event,
    )
    return headers, event.data.model_dump_json().encode()


def _headers(
    *,
    event_id: str,
    event_type: str,
    source: str,
    subject: str,
    time: datetime,
    version: int,
    why: Cause | AnyRecorded,
) -> dict[str, str]:
    headers = {
        MSG_ID: event_id,
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-type": event_type,
        "ce-source": source,
        "ce-subject": subject,
        "ce-time": utc(time),
        "ce-dataschemaversion": str(version),
        "ce-correlationid": why.correlation_id,
        "ce-causationid": why.causation_id,
        "ce-actor": why.actor,
    }
    if why.traceparent:
        headers["traceparent"] = why.traceparent
    return headers


def decode_event(seq: int, nats_subject: str, headers: Mapping[str, str], body: bytes) -> AnyRecorded:
    """The fact at `seq`. Raises `UnknownEventType` for what this build does not know."""
    event_type = headers["ce-type"]
    version = int(headers["ce-dataschemaversion"])
    return Recorded(
        seq=seq,
        id=headers["ce-id"],
        type=event_type,
        source=headers["ce-source"],
        subject=subject_of(nats_subject),
        time=datetime.fromisoformat(headers["ce-time"]),
        version=version,
        actor=headers["ce-actor"],
        correlation_id=headers["ce-correlationid"],
        causation_id=headers["ce-causationid"],
        traceparent=headers.get("traceparent"),
        data=parse_body(event_type, version, _without_nul(body), seq=seq),
    )


def _without_nul(body: bytes) -> bytes:
    """With U+FFFD in its place: no text of Postgres can hold NUL, and one event with it, which may come from
    the last words of a model server, would end every read model for good."""
    return NUL.sub(rb"\1\\ufffd", body) if b"\\u0000" in body else body


def encode(message: Contract) -> bytes:
    return message.model_dump_json().encode()


def encode_answer(answer: Contract) -> bytes:
    """What a log said follows, as it is, behind the line that the rest is."""
    head = encode(answer)
    return b"\n".join((head, answer.said)) if isinstance(answer, LogAnswer) else head


def decode_answer(kind: type[A], data: bytes) -> A:
    """Raises `pydantic.ValidationError`."""
    head, _, said = data.partition(b"\n")
    answer = kind.model_validate_json(head)
    return answer.model_copy(update={"said": said}) if isinstance(answer, LogAnswer) else answer
