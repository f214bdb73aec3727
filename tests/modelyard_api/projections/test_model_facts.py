"""What is known of a model shows on its deployments and instances, whichever came first."""

from datetime import UTC, datetime
from typing import Any

from modelyard_api.projections.deployments import MODELS
from modelyard_api.projections.folding import Picture
from modelyard_api.projections.instances import INSTANCES
from modelyard_api.projections.model_facts import MODEL_FACTS
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Category, DeploymentSpec, Source
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    Decision,
    DeploymentRequested,
    DeploymentUpdated,
    InstanceRequested,
    InstanceUnschedulable,
    ModelInspected,
)
from modelyard_contracts.models import ModelFacts, ModelFormat, coordinates_of

SPEC = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/tiny")
FACTS = ModelFacts(
    location="org/tiny",
    revision="c0ffee",
    format=ModelFormat.GGUF,
    category=Category.EMBEDDING,
    weight_bytes=1000,
    context_length=2048,
    languages=("en",),
    license="mit",
)
INSPECTED = ModelInspected(coordinates=coordinates_of(SPEC), facts=FACTS)
REQUESTED = DeploymentRequested(deployment_id=3, name="chat", cluster_id=1, replicas=1, spec=SPEC)
INSTANCE = InstanceRequested(
    instance_id=5, deployment_id=3, name="chat-a", deployment_name="chat", cluster_id=1, spec=SPEC, spec_seq=1
)


def told(*events: Event) -> Picture:
    picture = Picture(lambda env: env)
    for seq, event in enumerate(events, start=1):
        picture.fold(
            Recorded(
                seq=seq,
                id=f"{seq}",
                type=type(event).__name__,
                source="test",
                subject=f"{event.aggregate}/{event.aggregate_id()}",
                time=datetime(2026, 1, 1, tzinfo=UTC),
                version=event.version,
                actor="user/1",
                correlation_id="a",
                causation_id="a",
                traceparent=None,
                data=event,
            )
        )
    return picture


def view(picture: Picture, resource: Any, ident: int) -> dict[str, Any]:
    row = picture.find(resource, ident)
    assert row is not None
    return row.view


def test_a_deployment_shows_what_its_model_is_whichever_is_known_first() -> None:
    for events in ((REQUESTED, INSPECTED), (INSPECTED, REQUESTED)):
        model = view(told(*events), MODELS, 3)
        assert model["categories"] == ["embedding"]
        assert model["backend"] == "llama.cpp"
        assert model["meta"]["n_ctx"] == 2048
        assert model["meta"]["license"] == "mit"
        assert "parameters" not in model["meta"]


def test_what_the_operator_said_stays() -> None:
    spec = SPEC.model_copy(update={"categories": (Category.LLM,), "backend": "vLLM"})
    model = view(told(INSPECTED, REQUESTED.model_copy(update={"spec": spec})), MODELS, 3)
    assert model["categories"] == ["llm"]
    assert model["backend"] == "vLLM"


def test_an_update_of_the_deployment_keeps_what_is_known_of_its_model() -> None:
    updated = DeploymentUpdated(deployment_id=3, name="chat", spec=SPEC)
    assert view(told(REQUESTED, INSPECTED, updated), MODELS, 3)["categories"] == ["embedding"]
    other = updated.model_copy(update={"spec": SPEC.model_copy(update={"revision": "v2"})})
    assert view(told(REQUESTED, INSPECTED, other), MODELS, 3)["meta"] == {}


def test_an_instance_is_analyzing_until_its_model_is_known() -> None:
    assert view(told(REQUESTED, INSTANCE), INSTANCES, 5)["state"] == "analyzing"
    assert view(told(REQUESTED, INSTANCE, INSPECTED), INSTANCES, 5)["state"] == "pending"
    assert view(told(INSPECTED, REQUESTED, INSTANCE), INSTANCES, 5)["state"] == "pending"
    failed = InstanceUnschedulable(
        instance_id=5,
        deployment_id=3,
        message="The model cannot be inspected",
        reasons=(),
        decision=Decision(policy="inspect/1", decided_at_seq=1),
    )
    assert view(told(REQUESTED, INSTANCE, failed), INSTANCES, 5)["state"] == "pending"


def test_the_facts_themselves_can_be_read() -> None:
    facts = view(told(INSPECTED), MODEL_FACTS, INSPECTED.number)
    assert facts["name"] == "org/tiny"
    assert facts["commit"] == "c0ffee"
    assert facts["weight_bytes"] == 1000
    assert INSPECTED.number < 1 << 53
