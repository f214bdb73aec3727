import pytest
from modelyard_worker_agent.domain.reconcile import Here, Local, Step, next_step
from modelyard_worker_agent_world import spec_of, want

RUNNING = want(spec_of("/m.gguf"), attempt=2)
ABSENT = want(spec_of("/m.gguf"), attempt=2, state="absent")


@pytest.mark.parametrize("here", list(Here))
def test_without_a_want_nothing_is_touched(here: Here) -> None:
    assert next_step(None, Local(here, 0)) is Step.NOTHING


@pytest.mark.parametrize(
    ("here", "attempt", "step"),
    [
        (Here.NOTHING, -1, Step.START),
        (Here.ENDED, 1, Step.START),
        (Here.ENDED, 2, Step.NOTHING),
        (Here.ALIVE, 1, Step.NOTHING),
        (Here.ALIVE, 2, Step.NOTHING),
    ],
)
def test_wanted_running(here: Here, attempt: int, step: Step) -> None:
    assert next_step(RUNNING, Local(here, attempt)) is step


@pytest.mark.parametrize(
    ("here", "step"),
    [
        (Here.ALIVE, Step.STOP),
        (Here.STOPPED, Step.SAY_STOPPED),
        (Here.ENDED, Step.SAY_STOPPED),
        (Here.NOTHING, Step.SAY_STOPPED),
    ],
)
def test_wanted_absent(here: Here, step: Step) -> None:
    assert next_step(ABSENT, Local(here, 2)) is step
