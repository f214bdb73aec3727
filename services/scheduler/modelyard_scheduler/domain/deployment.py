"""The wish: how many instances of what."""

from dataclasses import dataclass, replace
from typing import assert_never

from modelyard_contracts.deployments import DeploymentSpec
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    DeploymentDeleted,
    DeploymentRequested,
    DeploymentScaled,
    DeploymentUpdated,
)

DeploymentFact = DeploymentRequested | DeploymentUpdated | DeploymentScaled | DeploymentDeleted


@dataclass(frozen=True, slots=True)
class DeploymentState:
    deployment_id: int
    name: str
    cluster_id: int
    replicas: int
    spec: DeploymentSpec
    spec_seq: int
    """The sequence of the event that `spec` comes from."""
    correlation_id: str
    """Of the last wish, as what follows: new instances are part of that story."""
    actor: str
    last_event_id: str
    traceparent: str | None = None
    deleted: bool = False


def evolve(state: DeploymentState | None, recorded: Recorded[DeploymentFact]) -> DeploymentState | None:
    """The deployment after a fact; facts about one that was never requested change nothing."""
    fact = recorded.data
    if isinstance(fact, DeploymentRequested):
        return DeploymentState(
            deployment_id=fact.deployment_id,
            name=fact.name,
            cluster_id=fact.cluster_id,
            replicas=fact.replicas,
            spec=fact.spec,
            spec_seq=recorded.seq,
            correlation_id=recorded.correlation_id,
            actor=recorded.actor,
            last_event_id=recorded.id,
            traceparent=recorded.traceparent,
        )
    if state is None:
        return None
    state = replace(
        state,
        correlation_id=recorded.correlation_id,
        actor=recorded.actor,
        last_event_id=recorded.id,
        traceparent=recorded.traceparent,
    )
    match fact:
        case DeploymentUpdated():
            return replace(state, name=fact.name, spec=fact.spec, spec_seq=recorded.seq)
        case DeploymentScaled():
            return replace(state, replicas=fact.replicas)
        case DeploymentDeleted():
            return replace(state, deleted=True)
        case _:
            assert_never(fact)
