import pytest
from modelyard_backends.builtin import BUILT_IN
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Category, DeploymentSpec, Source
from modelyard_contracts.events import InferenceBackendDefined, ModelInspected
from modelyard_contracts.messages import Want
from modelyard_contracts.models import GgufFacts, ModelFacts, ModelFormat, coordinates_of
from modelyard_scheduler.domain.wants import WantsPlan, supersedes, wants_for, wants_plan
from modelyard_scheduler_world import (
    at,
    failed,
    instance,
    record,
    removed,
    requested,
    restart_scheduled,
    running,
    scheduled,
    starting,
    stopped,
    stopping,
    told,
    unschedulable,
    worker,
)

PLACED = (requested(), scheduled())
RUNS = (*PLACED, starting(), running())
HEADER = GgufFacts(metadata={}, vocabulary_size=1, parameters=1, groups=())
BACKS_OFF = (*RUNS, failed(), restart_scheduled(1, delay_s=10))


@pytest.mark.parametrize(
    ("given", "now_s", "wanted"),
    [
        (PLACED, 0, ("running", 0)),
        (RUNS, 0, ("running", 0)),
        ((*RUNS, failed()), 0, ("running", 0)),
        (BACKS_OFF, 9.9, ("running", 0)),
        (BACKS_OFF, 10, ("running", 1)),
        ((*BACKS_OFF, starting(1)), 11, ("running", 1)),
        ((*RUNS, stopping()), 0, ("absent", 0)),
        ((*RUNS, stopping(), stopped()), 0, ("absent", 0)),
    ],
)
def test_what_is_wanted_follows_from_the_state_and_the_time(
    given: tuple[Event, ...], now_s: float, wanted: tuple[str, int]
) -> None:
    [want] = wants_for(instance(*given), at(now_s))
    assert (want.state, want.attempt) == wanted


def test_nothing_is_wanted_of_what_is_nowhere() -> None:
    assert wants_for(instance(requested()), at(0)) == ()
    assert wants_for(instance(requested(), unschedulable()), at(0)) == ()


def test_a_want_carries_the_story_of_who_wished_it() -> None:
    [want] = wants_for(instance(*PLACED), at(0))
    assert (want.actor, want.correlation_id) == ("user/1", "story")
    assert (want.name, want.deployment_name, want.worker_id) == ("chat3-00005", "chat3", 1)


@pytest.mark.parametrize(
    ("format", "category", "told"),
    [
        (ModelFormat.GGUF, Category.EMBEDDING, (Category.EMBEDDING,)),
        (ModelFormat.GGUF, Category.UNKNOWN, ()),
        (ModelFormat.SAFETENSORS, Category.EMBEDDING, ()),
    ],
)
def test_an_agent_is_told_what_a_gguf_model_was_found_to_be(
    format: ModelFormat, category: Category, told: tuple[Category, ...]
) -> None:
    gguf = HEADER if format is ModelFormat.GGUF else None
    model = ModelFacts(location="m", format=format, category=category, gguf=gguf, weight_bytes=1)
    [want] = wants_for(instance(*PLACED), at(0), None, model)
    assert want.spec.categories == told


def test_what_the_user_called_a_model_counts_more_than_what_it_was_found_to_be() -> None:
    state = instance(*PLACED)
    state = state._replace(spec=state.spec.model_copy(update={"categories": (Category.LLM,)}))
    model = ModelFacts(
        location="m", format=ModelFormat.GGUF, category=Category.EMBEDDING, gguf=HEADER, weight_bytes=1
    )
    [want] = wants_for(state, at(0), None, model)
    assert want.spec.categories == (Category.LLM,)


def want(state: str = "running", attempt: int = 0, instance_id: int = 5) -> Want:
    [found] = wants_for(instance(*PLACED), at(0))
    return found.model_copy(update={"state": state, "attempt": attempt, "instance_id": instance_id})


def test_a_start_once_wanted_is_never_taken_back() -> None:
    assert not supersedes(want(attempt=0), want(attempt=1))
    assert supersedes(want(attempt=1), want(attempt=0))
    assert supersedes(want("absent", 0), want(attempt=1))
    assert not supersedes(want(), want())


def test_what_is_held_as_it_should_be_stays() -> None:
    assert wants_plan(told(*worker(), *RUNS), {(1, 5): want_of(*RUNS)}, at(0)) == WantsPlan()


def want_of(*events: Event, now_s: float = 0) -> Want:
    [found] = wants_for(instance(*events), at(now_s))
    return found


def test_what_was_never_told_is_told() -> None:
    assert wants_plan(told(*RUNS), {}, at(0)) == WantsPlan(put=(want_of(*RUNS),))


def test_a_restart_whose_timer_was_lost_is_told_when_its_time_has_come() -> None:
    held = {(1, 5): want_of(*BACKS_OFF)}
    assert wants_plan(told(*BACKS_OFF), held, at(9)) == WantsPlan()
    assert wants_plan(told(*BACKS_OFF), held, at(11)) == WantsPlan(put=(want_of(*BACKS_OFF, now_s=11),))


def test_a_removed_instance_that_is_still_wanted_is_to_end() -> None:
    picture = told(*RUNS, removed())
    assert wants_plan(picture, {(1, 5): want()}, at(0)) == WantsPlan(put=(want("absent"),))


def test_the_want_of_what_was_stopped_and_removed_is_forgotten() -> None:
    picture = told(*RUNS, stopping(), stopped(), removed())
    assert wants_plan(picture, {(1, 5): want("absent")}, at(0)) == WantsPlan(forget=((1, 5),))


def test_a_leftover_stays_unwanted_until_its_worker_comes_back() -> None:
    picture = told(*RUNS, removed(worker_lost=True))
    assert wants_plan(picture, {(1, 5): want("absent")}, at(0)) == WantsPlan()


def test_an_instance_that_this_picture_does_not_know_yet_is_left_alone() -> None:
    picture = told(*RUNS)
    held = {(1, 5): want_of(*RUNS), (1, 6): want(instance_id=6)}
    assert wants_plan(picture, held, at(0)) == WantsPlan()


def test_carrying_out_a_plan_leaves_nothing_to_do() -> None:
    picture = told(*worker(), *BACKS_OFF)
    picture.apply(record(requested(6), 20))
    picture.apply(record(scheduled(6), 21))
    picture.apply(record(removed(6), 22))
    held = {(1, 6): want(instance_id=6)}
    for _ in range(2):
        plan = wants_plan(picture, held, at(99))
        held |= {(one.worker_id, one.instance_id): one for one in plan.put}
        for key in plan.forget:
            del held[key]
    assert wants_plan(picture, held, at(99)) == WantsPlan()
    assert set(held) == {(1, 5)}


def test_a_deployment_that_names_no_backend_is_told_the_operators_definition_of_the_one_that_suits_it() -> (
    None
):
    spec = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/model")
    own = BUILT_IN["vLLM"].model_copy(update={"default_env": {"MINE": "1"}})
    facts = ModelFacts(location="org/model", format=ModelFormat.SAFETENSORS, weight_bytes=1)
    defined = InferenceBackendDefined(backend_id=1, backend=own, is_built_in=True, edited=("default_env",))
    inspected = ModelInspected(coordinates=coordinates_of(spec), facts=facts)

    picture = told(*worker(), defined, requested(spec=spec), scheduled())
    assert [want.backend for want in wants_plan(picture, {}, at(0)).put] == [None]

    picture.apply(record(inspected, 20))
    assert [want.backend for want in wants_plan(picture, {}, at(0)).put] == [own]
