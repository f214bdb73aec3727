"""Events and causes for tests of the log."""

from datetime import UTC, datetime

from modelyard_contracts.base import Event
from modelyard_contracts.deployments import DeploymentSpec, Source
from modelyard_contracts.envelope import Cause
from modelyard_contracts.events import DeploymentRequested, DeploymentScaled

SPEC = DeploymentSpec(source=Source.LOCAL_PATH, local_path="/models/a.gguf")


def cause(command_id: str) -> Cause:
    return Cause(
        command_id=command_id,
        actor="user/1",
        source="modelyard/test",
        time=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        correlation_id="story",
        causation_id="why",
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    )


def requested(ident: int) -> Event:
    return DeploymentRequested(deployment_id=ident, name=f"d{ident}", cluster_id=1, replicas=1, spec=SPEC)


def scaled(ident: int, replicas: int) -> Event:
    return DeploymentScaled(deployment_id=ident, replicas=replicas, previous_replicas=0)
