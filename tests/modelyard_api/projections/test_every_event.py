"""No event that this build can write may end the read models."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from modelyard_api.projections.folding import BY_AGGREGATE, Picture
from modelyard_contracts.base import Event
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import EVENT_TYPES

GOLDEN = Path(__file__).parents[2] / "modelyard_contracts" / "golden"
CREATORS = (
    "ClusterCreated",
    "UserCreated",
    "ApiKeyCreated",
    "WorkerRegistered",
    "WorkerInventoryChanged",
    "DeploymentRequested",
    "RouteCreated",
    "InstanceRequested",
    "InstanceScheduled",
    "ModelFileRequested",
    "InferenceBackendDefined",
)
"""In the order in which a cluster comes into being."""


def recorded(name: str, seq: int) -> Recorded[Event]:
    """The golden sample of today's version; whatever it is about has the id 1 where ids are numbers."""
    kind = EVENT_TYPES[name]
    data = json.loads((GOLDEN / f"{name}.v{kind.version}.json").read_text())
    model = BY_AGGREGATE.get(kind.aggregate)
    for field in ("worker_id", "deployment_id", "cluster_id", model.id_field if model else ""):
        if isinstance(data.get(field), int):
            data[field] = 1
    event = kind.model_validate(data)
    return Recorded(
        seq=seq,
        id=f"c/{seq}",
        type=name,
        source="modelyard/test",
        subject=f"{kind.aggregate}/{event.aggregate_id()}",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        version=kind.version,
        actor="user/1",
        correlation_id="c",
        causation_id="c",
        traceparent=None,
        data=event,
    )


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_every_event_can_be_folded(name: str) -> None:
    picture = Picture(lambda env: dict.fromkeys(env, "***"))
    for seq, creator in enumerate(CREATORS, 1):
        picture.apply(recorded(creator, seq))
    picture.apply(recorded(name, len(CREATORS) + 1))
