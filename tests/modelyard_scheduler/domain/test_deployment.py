from modelyard_contracts.events import DeploymentUpdated
from modelyard_scheduler_world import SPEC, deleted, deployment, requested, scaled, stopping, told


def test_it_remembers_the_wish_and_where_its_spec_comes_from() -> None:
    state = told(deployment(replicas=2)).deployments[3]
    assert (state.name, state.replicas, state.spec, state.spec_seq) == ("chat3", 2, SPEC, 1)


def test_scaling_changes_the_replicas_only() -> None:
    state = told(deployment(), scaled(4)).deployments[3]
    assert (state.replicas, state.spec_seq) == (4, 1)


def test_an_update_brings_a_new_spec_with_its_sequence() -> None:
    spec = SPEC.model_copy(update={"description": "new"})
    state = told(deployment(), DeploymentUpdated(deployment_id=3, name="talk", spec=spec)).deployments[3]
    assert (state.name, state.spec, state.spec_seq) == ("talk", spec, 2)


def test_a_deleted_deployment_is_remembered_until_its_last_instance_is_gone() -> None:
    assert told(deployment(), requested(), stopping(), deleted()).deployments[3].deleted
    assert told(deployment(), deleted()).deployments == {}


def test_facts_about_what_was_never_requested_change_nothing() -> None:
    assert told(scaled(4), deleted()).deployments == {}
