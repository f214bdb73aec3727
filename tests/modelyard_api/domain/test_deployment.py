"""Given a deployment, when somebody wants something of it, then these facts."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from modelyard_api.domain.deployment import MASK, Deployment, decide_delete, decide_update, evolve, requested
from modelyard_api.domain.errors import Refusal
from modelyard_contracts.base import Event
from modelyard_contracts.commands import DeploymentCreate, DeploymentUpdate
from modelyard_contracts.deployments import DeploymentSpec, PlacementStrategy, Source
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    DeploymentDeleted,
    DeploymentRequested,
    DeploymentScaled,
    DeploymentUpdated,
)
from pydantic import ValidationError

SPEC = DeploymentSpec(source=Source.LOCAL_PATH, local_path="/m/a.gguf", env={"A": "<1>", "B": "<2>"})
GIVEN = Deployment(deployment_id=3, name="chat", cluster_id=1, replicas=2, spec=SPEC, deleted=False, seq=9)


def seal(text: str) -> str:
    return f"<{text}>"


def same(sealed: str, clear: str) -> bool:
    return sealed == seal(clear)


def update(**fields: Any) -> list[Any]:
    return list(decide_update(DeploymentUpdate(**fields), GIVEN, seal=seal, same=same))


def recorded(event: Event, seq: int = 10) -> Recorded[Any]:
    return Recorded(
        seq=seq,
        id=f"c/{seq}",
        type=type(event).__name__,
        source="test",
        subject=f"{event.aggregate}/{event.aggregate_id()}",
        time=datetime(2026, 1, 1, tzinfo=UTC),
        version=1,
        actor="user/1",
        correlation_id="s",
        causation_id="s",
        traceparent=None,
        data=event,
    )


def test_creating_seals_the_environment_and_takes_defaults() -> None:
    command = DeploymentCreate(name="x", source=Source.LOCAL_PATH, local_path="/m/a.gguf", env={"K": "v"})
    event = requested(command, deployment_id=5, cluster_id=1, seal=seal)
    assert (event.replicas, event.spec.env) == (1, {"K": "<v>"})
    assert event.spec.restart_on_error is True


def test_replicas_alone_scale_and_touch_nothing_else() -> None:
    assert update(replicas=5) == [DeploymentScaled(deployment_id=3, replicas=5, previous_replicas=2)]


def test_the_same_again_is_no_change() -> None:
    assert update(replicas=2, local_path="/m/a.gguf", name="chat") == []
    assert update(env={"A": "1", "B": "2"}) == []


def test_an_edit_changes_only_the_fields_it_names() -> None:
    [event] = update(placement_strategy="binpack")
    assert event == DeploymentUpdated(
        deployment_id=3,
        name="chat",
        spec=SPEC.model_copy(update={"placement_strategy": PlacementStrategy.BINPACK}),
    )


def test_null_puts_a_field_back_to_its_default() -> None:
    [event] = update(backend_parameters=["-c", "1"])
    after = evolve(GIVEN, recorded(event))
    assert after is not None
    [back] = decide_update(DeploymentUpdate(backend_parameters=None), after, seal=seal, same=same)
    assert isinstance(back, DeploymentUpdated)
    assert back.spec.backend_parameters == ()


def test_a_masked_value_keeps_the_secret_it_stands_for() -> None:
    [event] = update(env={"A": MASK, "C": "3"})
    assert event.spec.env == {"A": "<1>", "C": "<3>"}


def test_a_mask_for_a_value_that_never_was_is_refused() -> None:
    with pytest.raises(Refusal, match="Z is masked"):
        update(env={"Z": MASK})


def test_an_edit_may_not_leave_the_source_without_its_field() -> None:
    with pytest.raises(Refusal, match="huggingface_repo_id"):
        update(source="huggingface")


def test_facts_make_the_state() -> None:
    state: Deployment | None = None
    facts: list[Event] = [
        DeploymentRequested(deployment_id=3, name="chat", cluster_id=1, replicas=1, spec=SPEC),
        DeploymentScaled(deployment_id=3, replicas=4, previous_replicas=1),
        DeploymentUpdated(deployment_id=3, name="talk", spec=SPEC),
    ]
    for seq, fact in enumerate(facts, start=1):
        state = evolve(state, recorded(fact, seq))
    assert state == Deployment(3, "talk", 1, 4, SPEC, deleted=False, seq=3)
    gone = evolve(state, recorded(decide_delete(state), 4))
    assert gone is not None
    assert gone.deleted
    assert decide_delete(state) == DeploymentDeleted(deployment_id=3, name="talk")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": "-x"}, "name"),
        ({"replicas": -1}, "replicas"),
        ({"replicas": True}, "replicas"),
        ({"colour": "red"}, "colour"),
        ({"env": {"1A": "x"}}, "1A"),
        ({"local_path": "/a/../b"}, "local_path"),
        ({"source": "model_scope"}, "model_scope"),
        ({"local_path": None}, "local_path"),
        ({"backend": "nobody"}, "backend"),
    ],
)
def test_commands_name_what_is_wrong_with_them(fields: dict[str, Any], named: str) -> None:
    good = {"name": "x", "source": "local_path", "local_path": "/m/a.gguf"}
    with pytest.raises(ValidationError, match=named):
        DeploymentCreate.model_validate({**good, **fields})


HUB_TOKENS = {Source.HUGGINGFACE: "<hf>"}
OF_HUB = {"source": Source.HUGGINGFACE, "huggingface_repo_id": "org/gated"}


def made(**fields: Any) -> dict[str, str]:
    command = DeploymentCreate(name="x", **{**OF_HUB, **fields})
    return requested(command, deployment_id=5, cluster_id=1, seal=seal, hub_tokens=HUB_TOKENS).spec.env


def test_a_deployment_from_a_hub_comes_with_its_operators_token_there() -> None:
    assert made() == {"HF_TOKEN": "<hf>"}
    assert made(env={"A": "1"}) == {"A": "<1>", "HF_TOKEN": "<hf>"}


def test_a_token_that_the_environment_names_stays() -> None:
    assert made(env={"HF_TOKEN": "other"}) == {"HF_TOKEN": "<other>"}


def test_a_token_goes_to_its_own_hub_only() -> None:
    assert made(source=Source.MODEL_SCOPE, model_scope_model_id="org/gated") == {}
    assert made(source=Source.LOCAL_PATH, local_path="/m/a.gguf") == {}


def edited(**fields: Any) -> list[Any]:
    spec = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/gated")
    state = replace(GIVEN, spec=spec)
    return list(decide_update(DeploymentUpdate(**fields), state, seal=seal, same=same, hub_tokens=HUB_TOKENS))


def test_who_edits_a_deployment_leaves_a_token_and_who_only_scales_or_renames_it_none() -> None:
    [event] = edited(revision="main")
    assert event.spec.env == {"HF_TOKEN": "<hf>"}
    [event] = edited(**OF_HUB)
    assert event.spec.env == {"HF_TOKEN": "<hf>"}
    assert edited(replicas=5) == [DeploymentScaled(deployment_id=3, replicas=5, previous_replicas=2)]
    [event] = edited(name="other")
    assert event.spec.env == {}
