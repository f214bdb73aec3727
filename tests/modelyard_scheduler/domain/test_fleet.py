from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.base import Event
from modelyard_scheduler.domain.fleet import (
    FleetPolicy,
    Presence,
    Verdicts,
    is_back,
    lost_limit,
    verdicts,
)
from modelyard_scheduler.domain.worker import WorkerState
from modelyard_scheduler_world import START, at, lost, ready, record, registered, silent, told, worker

POLICY = FleetPolicy(silent_after_s=10, grace_s=180, max_lost_share=0.3)


def workers_of(*events: Event) -> list[WorkerState]:
    return list(told(*events).workers.values())


def listening(workers: list[WorkerState], *, since_s: float = 0) -> Presence:
    presence = Presence(at(since_s))
    presence.look(workers, at(since_s), listening=True, pause_s=5)
    return presence


def looked(workers: list[WorkerState], presence: Presence, now_s: float) -> Verdicts:
    """What a look at `now_s` comes to, after looks in time before it."""
    moment = presence._looked_at
    while moment < at(now_s):
        moment = min(moment + timedelta(seconds=1), at(now_s))
        presence.look(workers, moment, listening=True, pause_s=5)
    return verdicts(workers, presence, at(now_s), POLICY)


def test_a_worker_that_beats_is_there() -> None:
    workers = workers_of(*worker())
    presence = listening(workers)
    presence.heard(1, "b1", at(5))
    assert looked(workers, presence, 14.9) == Verdicts()


def test_a_worker_falls_silent_after_a_while_without_a_beat() -> None:
    workers = workers_of(*worker())
    presence = listening(workers)
    presence.heard(1, "b1", at(5))
    [absence] = looked(workers, presence, 15).silent
    assert (absence.worker.worker_id, absence.last_seen) == (1, at(5))


def test_the_same_beat_read_again_is_no_sign_of_life() -> None:
    workers = workers_of(*worker())
    presence = listening(workers)
    presence.heard(1, "b1", at(5))
    presence.heard(1, "b1", at(14))
    assert len(looked(workers, presence, 15).silent) == 1


def test_a_worker_that_never_came_to_work_is_not_silent() -> None:
    workers = workers_of(registered())
    assert looked(workers, listening(workers), 1000) == Verdicts()


def test_a_worker_that_came_to_work_has_its_time_from_then_on() -> None:
    presence = listening([])
    looked([], presence, 100)
    workers = workers_of(*worker())
    assert looked(workers, presence, 109) == Verdicts()
    assert len(looked(workers, presence, 111).silent) == 1


def test_a_worker_whose_clock_is_ahead_falls_silent_all_the_same() -> None:
    picture = told(registered())
    picture.apply(record(ready(), 5000))  # its agent says: more than an hour from now
    workers = list(picture.workers.values())
    assert len(looked(workers, listening(workers), 11).silent) == 1


def test_a_silent_worker_is_lost_after_its_grace_only() -> None:
    workers = workers_of(*worker(), silent(last_seen=START))
    presence = listening(workers)
    assert looked(workers, presence, 179) == Verdicts()
    [absence] = looked(workers, presence, 180).lost
    assert absence.worker.worker_id == 1


def test_a_lost_worker_stays_lost() -> None:
    workers = workers_of(*worker(), silent(), lost())
    assert looked(workers, listening(workers), 9999) == Verdicts()


@pytest.mark.parametrize("facts", [(silent(),), (silent(), lost())])
def test_a_silent_or_lost_worker_that_beats_is_back(facts: tuple[Event, ...]) -> None:
    workers = workers_of(*worker(), *facts)
    presence = listening(workers)
    presence.heard(1, "b1", at(200))
    assert is_back(workers[0], presence, at(200), POLICY)
    assert looked(workers, presence, 201).recovered == (workers[0],)
    assert looked(workers, presence, 211).recovered == ()


def test_a_beat_from_before_it_fell_silent_does_not_bring_it_back() -> None:
    workers = workers_of(*worker(), silent(last_seen=at(20)))
    presence = Presence(START)
    presence.heard(1, "b1", at(20))
    assert not is_back(workers[0], presence, at(25), POLICY)


def test_while_the_scheduler_does_not_listen_nobody_is_silent() -> None:
    workers = workers_of(*worker())
    presence = listening(workers)
    for second in range(1, 300):
        presence.look(workers, at(second), listening=False, pause_s=5)
    assert verdicts(workers, presence, at(300), POLICY) == Verdicts()
    assert len(looked(workers, presence, 309).silent) == 1


def test_a_scheduler_that_slept_gives_everybody_their_time_anew() -> None:
    silent_before = workers_of(*worker(), silent(last_seen=START))
    presence = listening(silent_before)
    presence.look(silent_before, at(5000), listening=True, pause_s=5)
    assert verdicts(silent_before, presence, at(5000), POLICY) == Verdicts()
    assert looked(silent_before, presence, 5179) == Verdicts()
    assert len(looked(silent_before, presence, 5180).lost) == 1


def test_a_scheduler_that_starts_takes_no_lost_worker_for_a_live_one() -> None:
    workers = workers_of(*worker(), silent(), lost())
    assert looked(workers, listening(workers, since_s=1000), 1001) == Verdicts()


def test_a_scheduler_that_starts_gives_everybody_their_time_anew() -> None:
    workers = workers_of(*worker(1), *worker(2), silent(2, last_seen=START))
    presence = listening(workers, since_s=1000)
    assert looked(workers, presence, 1009) == Verdicts()


@pytest.mark.parametrize(("fleet", "limit"), [(0, 1), (1, 1), (3, 1), (6, 1), (7, 2), (10, 3), (100, 30)])
def test_the_limit_is_a_share_of_the_fleet_and_at_least_one(fleet: int, limit: int) -> None:
    assert lost_limit(fleet, 0.3) == limit


def test_in_a_storm_only_so_many_are_lost_the_longest_silent_first() -> None:
    events = [event for ident in range(1, 11) for event in worker(ident)]
    events += [silent(ident, last_seen=at(30 if ident < 3 else 0)) for ident in range(1, 7)]
    workers = workers_of(*events)
    presence = listening(workers)
    for ident in range(7, 11):
        presence.heard(ident, "b", at(250))
    found = looked(workers, presence, 255)
    assert [absence.worker.worker_id for absence in found.lost] == [3, 4, 5]
    assert found.withheld == 3


def test_those_that_are_lost_already_count_against_the_limit() -> None:
    events = [event for ident in range(1, 11) for event in worker(ident)]
    events += [silent(ident) for ident in range(1, 11)]
    events += [lost(1), lost(2)]
    workers = workers_of(*events)
    found = looked(workers, listening(workers), 200)
    assert [absence.worker.worker_id for absence in found.lost] == [3]
    assert found.withheld == 7


@given(size=st.integers(1, 25), share=st.floats(0, 1), already=st.integers(0, 25))
def test_never_more_than_the_share_is_lost(size: int, share: float, already: int) -> None:
    events: list[Event] = [event for ident in range(1, size + 1) for event in worker(ident)]
    events += [silent(ident) for ident in range(1, size + 1)]
    before = min(already, lost_limit(size, share))
    events += [lost(ident) for ident in range(1, before + 1)]
    workers = workers_of(*events)
    policy = FleetPolicy(silent_after_s=10, grace_s=180, max_lost_share=share)
    presence = Presence(START)
    found = verdicts(workers, presence, at(1000), policy)
    assert before + len(found.lost) == min(size, lost_limit(size, share))
    assert before + len(found.lost) + found.withheld == size
