"""Any facts about a worker in any order: what is reserved on it is what was not given back."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim
from modelyard_contracts.events import (
    WorkerDeleted,
    WorkerInventoryChanged,
    WorkerMaintenanceChanged,
    WorkerReady,
    WorkerRecovered,
)
from modelyard_scheduler.domain.worker import WorkerPhase, WorkerState, admits, evolve
from modelyard_scheduler_world import (
    GIB,
    inventory,
    lost,
    ready,
    record,
    registered,
    released,
    reserved,
    silent,
)

AGENT_FACTS = st.one_of(
    st.builds(ready, session=st.sampled_from(["s1", "s2"])),
    st.builds(inventory, ram_bytes=st.sampled_from([8 * GIB, 16 * GIB])),
)
OTHER_FACTS = st.one_of(
    st.just(silent()),
    st.just(lost()),
    st.just(WorkerRecovered(worker_id=1)),
    st.builds(WorkerMaintenanceChanged, worker_id=st.just(1), enabled=st.booleans()),
    st.just(WorkerDeleted(worker_id=1, name="w1")),
)


class WorkerLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log = [record(registered(), 1)]
        self.state: WorkerState | None = evolve(None, self.log[0])
        self.reserved: dict[int, Claim] = {}

    def keep(self, fact: Event) -> None:
        self.log.append(record(fact, len(self.log) + 1))
        self.state = evolve(self.state, self.log[-1])

    @rule(fact=AGENT_FACTS)
    def its_agent_says(self, fact: WorkerReady | WorkerInventoryChanged) -> None:
        if admits(self.state, fact) is None:
            self.keep(fact)
            assert admits(self.state, fact) is not None, "said twice, it is kept once"

    @rule(fact=OTHER_FACTS)
    def somebody_else_says(self, fact: Event) -> None:
        self.keep(fact)

    @rule(instance_id=st.integers(1, 4), gib=st.integers(1, 3))
    def room_is_taken(self, instance_id: int, gib: int) -> None:
        self.reserved[instance_id] = Claim(ram_bytes=gib * GIB)
        self.keep(reserved(instance_id, claim=self.reserved[instance_id]))

    @rule(instance_id=st.integers(1, 4))
    def room_is_given_back(self, instance_id: int) -> None:
        """Also where none was taken: that changes nothing."""
        self.reserved.pop(instance_id, None)
        self.keep(released(instance_id))

    @invariant()
    def replaying_the_log_gives_the_same_state(self) -> None:
        state: WorkerState | None = None
        for recorded in self.log:
            state = evolve(state, recorded)
        assert state == self.state

    @invariant()
    def the_room_taken_adds_up(self) -> None:
        assert self.state is not None
        assert self.state.reservations == self.reserved
        taken = sum(claim.ram_bytes for claim in self.reserved.values())
        assert self.state.ram_reserved_bytes == taken
        if self.state.inventory is not None:
            assert self.state.ram_free_bytes() == self.state.inventory.memory_total_bytes - taken

    @invariant()
    def a_deleted_worker_stays_deleted_and_its_agent_is_not_heard(self) -> None:
        assert self.state is not None
        deleted = any(isinstance(recorded.data, WorkerDeleted) for recorded in self.log)
        assert (self.state.phase is WorkerPhase.DELETED) == deleted
        if deleted:
            assert admits(self.state, ready(session="another")) is not None


WorkerLife.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestWorkerLife = WorkerLife.TestCase
