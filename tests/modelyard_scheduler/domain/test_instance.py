"""What may happen to an instance, told as given, when, then."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from modelyard_contracts.base import Event
from modelyard_contracts.events import InstanceDeletionRequested, InstanceRemoved
from modelyard_scheduler.domain.instance import (
    LIFE,
    AgentFact,
    InstanceState,
    Phase,
    admits,
    evolve,
    may,
)
from modelyard_scheduler_world import (
    deletion_requested,
    downloading,
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
    unschedulable,
)

PLACED = (requested(), scheduled())
STARTED = (*PLACED, starting())
RUNS = (*STARTED, running())
BACKS_OFF = (*RUNS, failed(), restart_scheduled(1))


@pytest.mark.parametrize(
    ("given", "phase"),
    [
        ((requested(),), Phase.REQUESTED),
        ((requested(), unschedulable()), Phase.UNSCHEDULABLE),
        ((requested(), unschedulable(), scheduled()), Phase.SCHEDULED),
        ((*PLACED, downloading()), Phase.DOWNLOADING),
        (STARTED, Phase.STARTING),
        (RUNS, Phase.RUNNING),
        ((*RUNS, failed()), Phase.FAILED),
        (BACKS_OFF, Phase.BACKING_OFF),
        ((*BACKS_OFF, starting(1)), Phase.STARTING),
        ((*RUNS, stopping()), Phase.STOPPING),
        ((*RUNS, stopping(), stopped()), Phase.STOPPED),
    ],
)
def test_the_phase_follows_from_the_facts(given: tuple[Event, ...], phase: Phase) -> None:
    assert instance(*given).phase is phase


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        (PLACED, downloading()),
        (PLACED, starting()),
        (PLACED, failed()),
        ((*PLACED, downloading()), starting()),
        ((*PLACED, downloading()), failed()),
        (STARTED, running()),
        (RUNS, running().model_copy(update={"host": "10.0.0.9"})),
        (STARTED, failed()),
        (RUNS, failed()),
        (BACKS_OFF, starting(1)),
        (BACKS_OFF, downloading(1)),
        ((*RUNS, stopping()), stopped()),
        # its next attempt was told to nobody yet when it was stopped
        ((*BACKS_OFF, stopping()), stopped(0)),
    ],
)
def test_an_agents_fact_that_may_follow_is_admitted(given: tuple[Event, ...], fact: AgentFact) -> None:
    assert admits(instance(*given), fact) is None


@pytest.mark.parametrize(
    ("given", "fact", "why"),
    [
        (PLACED, running(), "InstanceRunning cannot follow while chat3-00005 is scheduled"),
        (STARTED, starting(), "InstanceStarting cannot follow while chat3-00005 is starting"),
        (RUNS, running(), "chat3-00005 said so before"),
        (RUNS, stopped(), "InstanceStopped cannot follow while chat3-00005 is running"),
        ((*RUNS, failed()), failed(), "InstanceFailed cannot follow while chat3-00005 is failed"),
        ((*RUNS, failed()), starting(1), "chat3-00005 is at attempt 0, not 1"),
        (BACKS_OFF, failed(0), "chat3-00005 is at attempt 1, not 0"),
        ((*BACKS_OFF, starting(1)), running(0), "chat3-00005 is at attempt 1, not 0"),
        ((*RUNS, stopping()), failed(), "InstanceFailed cannot follow while chat3-00005 is stopping"),
        (STARTED, running(worker_id=2), "chat3-00005 is on worker 1, not 2"),
        ((requested(),), starting(), "chat3-00005 is on worker None, not 1"),
    ],
)
def test_an_agents_fact_that_cannot_follow_is_refused_with_the_reason(
    given: tuple[Event, ...], fact: AgentFact, why: str
) -> None:
    assert admits(instance(*given), fact) == why


def test_nothing_is_admitted_about_an_instance_that_is_gone() -> None:
    assert admits(None, running()) == "instance 5 is removed or was never there"
    state = evolve(instance(*RUNS), record(removed(), 9))
    assert admits(state, stopped()) == "instance 5 is removed or was never there"


def test_a_fact_of_another_deployment_is_refused() -> None:
    fact = running().model_copy(update={"deployment_id": 4})
    assert admits(instance(*STARTED), fact) == "chat3-00005 belongs to deployment 3, not 4"


def test_the_attempt_and_the_streak_come_from_the_log() -> None:
    state = instance(*BACKS_OFF, starting(1), failed(1), restart_scheduled(2, streak=2))
    assert (state.attempt, state.streak) == (2, 2)


def test_asking_for_deletion_changes_no_phase() -> None:
    state = instance(*RUNS, deletion_requested())
    assert (state.phase, state.deletion_requested) == (Phase.RUNNING, True)


def test_a_fact_that_cannot_follow_changes_nothing_but_the_sequence() -> None:
    before = instance(*RUNS)
    after = evolve(before, record(starting(), 50))
    assert after is not None
    assert (after.phase, after.seq) == (Phase.RUNNING, 50)


def test_from_every_phase_it_can_be_removed_and_afterwards_nothing_can_happen() -> None:
    for phase, next_phases in LIFE.items():
        if phase is Phase.REMOVED:
            assert not next_phases
        else:
            assert Phase.REMOVED in next_phases.values()


FACTS = st.one_of(
    st.builds(scheduled),
    st.builds(unschedulable),
    st.builds(deletion_requested),
    st.builds(stopping),
    st.builds(removed),
    st.builds(restart_scheduled, st.integers(1, 3)),
    st.builds(downloading, st.integers(0, 3)),
    st.builds(starting, st.integers(0, 3)),
    st.builds(running, st.integers(0, 3)),
    st.builds(failed, st.integers(0, 3)),
    st.builds(stopped, st.integers(0, 3)),
)
AGENT_FACTS = (type(downloading()), type(starting()), type(running()), type(failed()), type(stopped()))


class InstanceLife(RuleBasedStateMachine):
    """Any facts in any order, of which only those that may follow are kept in the log."""

    kept = Bundle("kept")

    def __init__(self) -> None:
        super().__init__()
        self.log = [record(requested(), 1)]
        self.state: InstanceState | None = evolve(None, self.log[0])

    @rule(target=kept, fact=FACTS)
    def something_happens(self, fact: Event) -> Event:
        assert self.state is not None
        if self._legal(fact):
            recorded = record(fact, len(self.log) + 1)
            self.log.append(recorded)
            self.state = evolve(self.state, recorded)
        return fact

    @rule(fact=kept)
    def an_agents_fact_comes_again(self, fact: Event) -> None:
        """Delivered twice, it is refused the second time, until the life comes round to it again."""
        if isinstance(fact, AGENT_FACTS) and self._legal(fact):
            self.something_happens(fact)
            assert self.state is not None
            assert admits(self.state, fact) is not None

    def _legal(self, fact: Event) -> bool:
        assert self.state is not None
        if isinstance(fact, AGENT_FACTS):
            return admits(self.state, fact) is None
        return isinstance(fact, InstanceDeletionRequested) or may(self.state, type(fact))  # type: ignore[arg-type]

    @invariant()
    def replaying_the_log_gives_the_same_state(self) -> None:
        state: InstanceState | None = None
        for recorded in self.log:
            state = evolve(state, recorded)
        assert state == self.state

    @invariant()
    def only_what_was_placed_has_a_worker(self) -> None:
        assert self.state is not None
        if self.state.phase in (Phase.REQUESTED, Phase.UNSCHEDULABLE):
            assert self.state.worker_id is None
        elif self.state.phase is not Phase.REMOVED:
            assert self.state.worker_id == 1

    @invariant()
    def a_removed_instance_stays_removed(self) -> None:
        assert self.state is not None
        removals = [recorded for recorded in self.log if isinstance(recorded.data, InstanceRemoved)]
        assert len(removals) <= 1
        assert (self.state.phase is Phase.REMOVED) == bool(removals)


InstanceLife.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestInstanceLife = InstanceLife.TestCase
