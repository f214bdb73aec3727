import pytest
from modelyard_contracts.base import Event
from modelyard_contracts.events import (
    WorkerDeleted,
    WorkerLabelsChanged,
    WorkerMaintenanceChanged,
    WorkerRecovered,
)
from modelyard_scheduler.domain.worker import WorkerPhase, admits
from modelyard_scheduler_world import (
    GIB,
    inventory,
    lost,
    ready,
    registered,
    released,
    reserved,
    silent,
    told,
    worker,
)


@pytest.mark.parametrize(
    ("given", "phase"),
    [
        ((registered(),), WorkerPhase.REGISTERED),
        (worker(), WorkerPhase.READY),
        ((*worker(), silent()), WorkerPhase.SILENT),
        ((*worker(), silent(), lost()), WorkerPhase.LOST),
        ((*worker(), silent(), WorkerRecovered(worker_id=1)), WorkerPhase.READY),
        ((*worker(), silent(), lost(), WorkerRecovered(worker_id=1)), WorkerPhase.READY),
        ((*worker(), silent(), ready(session="s2")), WorkerPhase.READY),
    ],
)
def test_the_phase_follows_from_the_facts(given: tuple[Event, ...], phase: WorkerPhase) -> None:
    assert told(*given).workers[1].phase is phase


def test_reservations_take_room_until_they_are_released() -> None:
    given = (registered(), ready(), inventory(ram_bytes=16 * GIB, reserved_bytes=2 * GIB))
    assert told(*given).workers[1].ram_free_bytes() == 14 * GIB
    assert told(*given, reserved(5), reserved(6)).workers[1].ram_free_bytes() == 12 * GIB
    assert told(*given, reserved(5), reserved(6), released(5)).workers[1].ram_free_bytes() == 13 * GIB


def test_a_worker_without_an_inventory_has_no_room() -> None:
    assert told(registered(), ready()).workers[1].ram_free_bytes() == 0


def test_labels_and_maintenance_are_taken_over() -> None:
    state = told(
        *worker(),
        WorkerLabelsChanged(worker_id=1, labels={"zone": "b"}),
        WorkerMaintenanceChanged(worker_id=1, enabled=True),
    ).workers[1]
    assert (state.labels, state.maintenance) == ({"zone": "b"}, True)


def test_a_deleted_worker_is_remembered_until_nothing_is_reserved_on_it() -> None:
    gone = WorkerDeleted(worker_id=1, name="w1")
    assert told(*worker(), reserved(), gone).workers[1].phase is WorkerPhase.DELETED
    assert told(*worker(), reserved(), gone, released()).workers == {}
    assert told(*worker(), gone).workers == {}


def test_a_deleted_worker_never_comes_back() -> None:
    state = told(*worker(), reserved(), WorkerDeleted(worker_id=1, name="w1"), ready(session="s9")).workers[1]
    assert state.phase is WorkerPhase.DELETED
    assert admits(state, ready(session="s10")) == "worker 1 is deleted or was never there"


def test_what_an_agent_says_again_is_not_admitted() -> None:
    state = told(*worker()).workers[1]
    assert admits(state, ready(session="s1")) == "w1 said so before"
    assert admits(state, inventory()) == "w1 said so before"


def test_a_new_session_a_new_inventory_and_a_sign_of_life_are_admitted() -> None:
    state = told(*worker()).workers[1]
    assert admits(state, ready(session="s2")) is None
    assert admits(state, inventory(ram_bytes=GIB)) is None
    assert admits(told(*worker(), silent()).workers[1], ready(session="s1")) is None


def test_a_worker_that_never_registered_says_nothing() -> None:
    assert admits(None, ready()) == "worker 1 is deleted or was never there"
