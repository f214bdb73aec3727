import pytest
from modelyard_worker_agent.domain.starvation import Thread, is_starved

WAITED = Thread(ran_s=1.0, waited_s=5.0)


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(Thread(ran_s=1.1, waited_s=8.5), id="it waited most of the time"),
        pytest.param(Thread(ran_s=1.1, waited_s=5.0, runnable=True), id="it waits still"),
    ],
)
def test_a_thread_that_wanted_to_run_and_could_not_shows_that_its_server_was_starved(now: Thread) -> None:
    assert is_starved({7: WAITED}, {7: now}, elapsed_s=4.0)


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(WAITED, id="it sleeps or is stopped"),
        pytest.param(Thread(ran_s=4.9, waited_s=5.1, runnable=True), id="it turns in circles"),
        pytest.param(Thread(ran_s=2.0, waited_s=6.0), id="it waited a little"),
    ],
)
def test_a_server_that_could_run_or_did_not_want_to_was_not_starved(now: Thread) -> None:
    assert not is_starved({7: WAITED}, {7: now}, elapsed_s=4.0)


def test_one_starved_thread_is_enough_and_a_new_one_has_waited_since_it_began() -> None:
    assert is_starved({7: WAITED}, {7: WAITED, 8: Thread(waited_s=3.0)}, elapsed_s=4.0)


def test_where_the_system_does_not_tell_nothing_is_excused() -> None:
    assert not is_starved({}, {}, elapsed_s=4.0)
