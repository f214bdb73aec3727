"""The AsyncAPI document: every event, by the service that states it, and what listens to the streams."""

import json
from typing import Any

from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI
from modelyard_contracts.events import EVENT_TYPES

from modelyard_eventlog import subjects


def document(*, version: str) -> dict[str, Any]:
    """AsyncAPI 3.0 of the event log. Each event type is a channel of its own, though a subject carries
    every type of its aggregate: the type travels in the `ce-type` header."""
    broker = NatsBroker("nats://127.0.0.1:7702")
    for name, event in EVENT_TYPES.items():
        broker.publisher(
            f"evt.{event.aggregate}.*:{name}",
            stream=subjects.EVT,
            title=name,
            description=f"Stated by {event.owner}. {(event.__doc__ or '').strip()} Version {event.version}.",
            schema=event,
        )
    specification = AsyncAPI(broker, title="Modelyard event log", version=version, schema_version="3.0.0")
    made: dict[str, Any] = json.loads(specification.to_specification().to_json())
    for name, channel in made["channels"].items():
        # FastStream would merge what shares a subject, so the type stood behind a colon until here
        channel["address"] = channel["address"].removesuffix(f":{name}")
        channel["bindings"]["nats"]["subject"] = channel["address"]
    for part in ("channels", "operations"):
        made[part] = dict(sorted(made[part].items()))
    return made
