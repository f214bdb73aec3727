from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.failures import HOPELESS, FailureCause
from modelyard_scheduler.domain.restart import RestartPolicy, delay, next_restart, stays_failed
from modelyard_scheduler_world import (
    SPEC,
    START,
    failed,
    instance,
    requested,
    restart_scheduled,
    running,
    scheduled,
    starting,
)

POLICY = RestartPolicy(base_s=10, max_s=300, reset_s=600)
RUNS = (requested(), scheduled(), starting(), running())


def test_the_first_restart_comes_after_the_base_delay() -> None:
    restart = next_restart(instance(*RUNS, failed()), START, POLICY, jitter=0.5)
    assert restart is not None
    assert (restart.attempt, restart.streak, restart.delay_s) == (1, 1, 10.0)
    assert restart.restart_at == START + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("streak", "expected_s"), [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 300), (7, 300), (5000, 300)]
)
def test_the_delay_doubles_up_to_the_limit(streak: int, expected_s: float) -> None:
    assert delay(streak, POLICY, jitter=0.5) == expected_s


def test_the_count_goes_on_from_the_log() -> None:
    state = instance(*RUNS, failed(), restart_scheduled(1, streak=1), starting(1), failed(1))
    restart = next_restart(state, START, POLICY, jitter=0.5)
    assert restart is not None
    assert (restart.attempt, restart.streak, restart.delay_s) == (2, 2, 20.0)


@pytest.mark.parametrize(("healthy_s", "streak"), [(0.0, 5), (599.9, 5), (600.0, 1), (9000.0, 1)])
def test_only_a_stretch_of_healthy_running_resets_the_count(healthy_s: float, streak: int) -> None:
    given = (*RUNS, failed(), restart_scheduled(4, streak=4), starting(4), running(4))
    restart = next_restart(instance(*given, failed(4, healthy_s=healthy_s)), START, POLICY, jitter=0.5)
    assert restart is not None
    assert (restart.attempt, restart.streak) == (5, streak)


def test_the_health_before_an_earlier_failure_does_not_count_again() -> None:
    given = (*RUNS, failed(healthy_s=700), restart_scheduled(1, streak=1), starting(1), failed(1))
    restart = next_restart(instance(*given), START, POLICY, jitter=0.5)
    assert restart is not None
    assert restart.streak == 2


def test_nothing_is_restarted_that_should_not_be() -> None:
    spec = SPEC.model_copy(update={"restart_on_error": False})
    given = (requested(spec=spec), scheduled(), starting(), failed())
    assert next_restart(instance(*given), START, POLICY, jitter=0.5) is None
    assert next_restart(instance(*RUNS), START, POLICY, jitter=0.5) is None
    backs_off = instance(*RUNS, failed(), restart_scheduled())
    assert next_restart(backs_off, START, POLICY, jitter=0.5) is None


@pytest.mark.parametrize("cause", sorted(HOPELESS))
def test_what_starting_again_does_not_mend_is_given_up_after_three_tries(cause: FailureCause) -> None:
    given = [requested(), scheduled(), starting(), failed(cause=cause)]
    for attempt in (1, 2):
        assert not stays_failed(instance(*given))
        given += [restart_scheduled(attempt, streak=attempt), starting(attempt), failed(attempt, cause=cause)]
    state = instance(*given)
    assert stays_failed(state)
    assert next_restart(state, START, POLICY, jitter=0.5) is None


def test_what_has_run_before_is_never_given_up() -> None:
    given = (*RUNS, failed(), restart_scheduled(7, streak=7), starting(7))
    assert not stays_failed(instance(*given, failed(7, cause=FailureCause.MODEL_NOT_FOUND)))


def test_what_may_heal_is_never_given_up() -> None:
    given = (requested(), scheduled(), starting(), failed(), restart_scheduled(7, streak=7), starting(7))
    for cause in set(FailureCause) - HOPELESS:
        assert not stays_failed(instance(*given, failed(7, cause=cause)))


def test_what_ended_with_its_worker_starts_again_at_once_and_counts_as_no_failure() -> None:
    given = (*RUNS, failed(), restart_scheduled(3, streak=3), starting(3), running(3))
    state = instance(*given, failed(3, cause=FailureCause.WORKER_STOPPED))
    restart = next_restart(state, START, POLICY, jitter=0.5)
    assert restart is not None
    assert (restart.attempt, restart.streak, restart.delay_s) == (4, 3, 0.0)


@given(streak=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_jitter_moves_the_delay_by_a_tenth_and_never_beyond_the_limit(streak: int, jitter: float) -> None:
    plain = delay(streak, POLICY, jitter=0.5)
    moved = delay(streak, POLICY, jitter=jitter)
    assert 0.899 * plain <= moved <= min(300.0, 1.101 * plain)
