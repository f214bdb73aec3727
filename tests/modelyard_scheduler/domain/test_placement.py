import dataclasses

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim, DeploymentSpec, PlacementStrategy, Source
from modelyard_contracts.events import WorkerDeleted, WorkerMaintenanceChanged
from modelyard_contracts.messages import PathAnswer
from modelyard_scheduler.domain.placement import (
    MOST_REASONS,
    OVERHEAD_BYTES,
    Crowd,
    PathSaid,
    Placement,
    Unplaceable,
    candidates,
    claim_for,
    context_size,
    place,
    policy_name,
)
from modelyard_scheduler.domain.worker import WorkerState
from modelyard_scheduler_world import (
    GIB,
    SPEC,
    instance,
    inventory,
    lost,
    ready,
    registered,
    requested,
    reserved,
    silent,
    told,
    worker,
)

HAS_IT = PathAnswer(found=True, message="found", weight_bytes=GIB, kv_bytes_per_token=1024)
BINPACK = SPEC.model_copy(update={"placement_strategy": PlacementStrategy.BINPACK})
HUB = DeploymentSpec(source=Source.HUGGINGFACE, huggingface_repo_id="org/repo")


def tried(
    *events: Event,
    spec: DeploymentSpec = SPEC,
    said: dict[int, PathSaid] | None = None,
    crowds: dict[int, Crowd] | None = None,
) -> Placement | Unplaceable:
    workers = told(*events).workers
    answers: dict[int, PathSaid] = dict.fromkeys(workers, HAS_IT) if said is None else said
    return place(instance(requested(spec=spec)), workers.values(), answers, crowds or {})


def placed_on(found: Placement | Unplaceable) -> int:
    assert isinstance(found, Placement), found
    return found.worker.worker_id


def reason_of(found: Placement | Unplaceable) -> tuple[str, str]:
    assert isinstance(found, Unplaceable), found
    [reason] = found.reasons
    return reason.check, reason.message


def test_a_worker_that_has_all_of_it_takes_it() -> None:
    found = tried(*worker())
    assert placed_on(found) == 1
    assert isinstance(found, Placement)
    assert found.claim == Claim(ram_bytes=GIB + 4096 * 1024 + OVERHEAD_BYTES)
    assert found.candidates == 1


LABELLED = SPEC.model_copy(update={"worker_selector": {"zone": "b"}})


@pytest.mark.parametrize(
    ("given", "spec", "check", "message"),
    [
        ((registered(),), SPEC, "state", "w1 is registered, not ready"),
        ((*worker(), silent()), SPEC, "state", "w1 is silent, not ready"),
        ((*worker(), silent(), lost()), SPEC, "state", "w1 is lost, not ready"),
        (
            (*worker(), WorkerMaintenanceChanged(worker_id=1, enabled=True)),
            SPEC,
            "maintenance",
            "w1 is in maintenance",
        ),
        (worker(cluster_id=2), SPEC, "cluster", "w1 is in cluster 2, not 1"),
        (worker(), LABELLED, "labels", "w1 has no label zone, the worker selector asks for zone=b"),
        (
            (registered(labels={"zone": "a"}), ready(), inventory()),
            LABELLED,
            "labels",
            "w1 has zone=a, the worker selector asks for zone=b",
        ),
        ((registered(), ready()), SPEC, "backend", "w1 does not have the backend llama.cpp"),
        (
            (registered(), ready(), inventory(backend="vLLM")),
            SPEC,
            "backend",
            "w1 does not have the backend llama.cpp",
        ),
        (
            worker(ram_bytes=GIB),
            SPEC,
            "ram",
            "w1 has 1.00 GiB of memory free, 1.25 GiB are needed",
        ),
        (
            (*worker(ram_bytes=2 * GIB), reserved(9)),
            SPEC,
            "ram",
            "w1 has 1.00 GiB of memory free, 1.25 GiB are needed",
        ),
    ],
)
def test_what_stands_against_a_worker_is_said(
    given: tuple[Event, ...], spec: DeploymentSpec, check: str, message: str
) -> None:
    assert reason_of(tried(*given, spec=spec)) == (check, message)


def test_a_worker_with_the_labels_takes_it() -> None:
    assert placed_on(tried(registered(labels={"zone": "b"}), ready(), inventory(), spec=LABELLED)) == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({1: PathAnswer(found=False, message="no such file")}, "no such file"),
        ({1: "worker 1 is not connected"}, "worker 1 is not connected"),
        ({}, "it was not asked"),
    ],
)
def test_a_path_that_the_worker_does_not_have_stands_against_it(said: dict[int, PathSaid], why: str) -> None:
    found = tried(*worker(), said=said)
    assert reason_of(found) == ("local_path", f"w1 does not have /models/a.gguf: {why}")


def test_without_any_worker_it_says_so() -> None:
    found = tried()
    assert isinstance(found, Unplaceable)
    assert found.message() == "No suitable workers: no worker has joined yet"


def test_only_workers_that_nothing_else_stands_against_are_asked() -> None:
    picture = told(*worker(1), *worker(2), silent(2), *worker(3, cluster_id=2), *worker(4, ram_bytes=1))
    asked = candidates(instance(requested()), picture.workers.values())
    assert [one.worker_id for one in asked] == [1, 4]


def test_a_thousand_reasons_are_summed_up_with_the_closest_first() -> None:
    events = [event for ident in range(1, 1001) for event in worker(ident, ram_bytes=GIB)]
    found = tried(*events[:-1], *(silent(ident) for ident in range(1, 991)))
    assert isinstance(found, Unplaceable)
    assert len(found.reasons) == 1000
    assert len(found.stated()) == MOST_REASONS
    assert [reason.check for reason in found.stated()[:11]] == ["ram"] * 9 + ["backend", "state"]
    assert found.message().endswith("In all 1000 workers, by what they lack: state 990, backend 1, ram 9.")


# --- which of several ------------------------------------------------------------------------------

THREE = (*worker(1), *worker(2), *worker(3))


def test_spread_takes_the_worker_with_the_fewest_of_this_deployment() -> None:
    crowds = {1: Crowd(same=1, all=1), 2: Crowd(same=0, all=4), 3: Crowd(same=1, all=2)}
    assert placed_on(tried(*THREE, crowds=crowds)) == 2


def test_spread_then_takes_the_worker_with_the_fewest_in_all_then_the_lowest_id() -> None:
    crowds = {1: Crowd(same=0, all=2), 2: Crowd(same=0, all=1), 3: Crowd(same=0, all=1)}
    assert placed_on(tried(*THREE, crowds=crowds)) == 2


def test_binpack_takes_the_worker_with_the_least_room_left() -> None:
    given = (*worker(1), *worker(2, ram_bytes=4 * GIB), *worker(3, ram_bytes=GIB))
    assert placed_on(tried(*given, spec=BINPACK)) == 2


# --- how much --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "context"),
    [
        ((), 4096),
        (("-c", "8192"), 8192),
        (("-c 8192",), 8192),
        (("--ctx-size=2048",), 2048),
        (("--ctx-size", "2048"), 2048),
        (("--threads 4 --ctx-size 1024 --mlock",), 1024),
        (("-c 1024", "--ctx-size 2048"), 2048),
        (("-c",), 4096),
        (("-c", "many"), 4096),
        (("--chat-template", "it's"), 4096),
        (("-c 0",), 0),
    ],
)
def test_the_context_is_read_in_every_spelling(parameters: tuple[str, ...], context: int) -> None:
    assert context_size(parameters) == context


def test_a_context_of_zero_claims_the_models_own_length() -> None:
    spec = SPEC.model_copy(update={"backend_parameters": ("-c", "0")})
    answer = HAS_IT.model_copy(update={"context_length": 32768})
    assert claim_for(spec, answer).ram_bytes == GIB + 32768 * 1024 + OVERHEAD_BYTES


def test_a_model_of_unknown_size_claims_the_allowance_and_the_decision_says_so() -> None:
    found = tried(*worker(), spec=HUB, said={})
    assert isinstance(found, Placement)
    assert found.claim == Claim(ram_bytes=OVERHEAD_BYTES)
    assert policy_name(HUB) == "spread/1 (model size unknown)"
    assert policy_name(BINPACK) == "binpack/1"


# --- what must always hold -------------------------------------------------------------------------

FLEETS = st.lists(
    st.tuples(
        st.integers(0, 8),  # RAM in GiB
        st.integers(0, 8),  # of it taken
        st.booleans(),  # silent
        st.booleans(),  # has the path
        st.integers(0, 3),  # instances of this deployment
    ),
    max_size=8,
)
SPECS = st.sampled_from([SPEC, BINPACK])
Fleet = list[tuple[int, int, bool, bool, int]]


def fleet_of(fleet: Fleet) -> tuple[list[WorkerState], dict[int, PathSaid], dict[int, Crowd]]:
    events: list[Event] = []
    for ident, (ram, taken, is_silent, _, _) in enumerate(fleet, start=1):
        events += worker(ident, ram_bytes=ram * GIB)
        events.append(reserved(100 + ident, worker_id=ident, claim=Claim(ram_bytes=taken * GIB)))
        if is_silent:
            events.append(silent(ident))
    said: dict[int, PathSaid] = {
        ident: HAS_IT if has_it else "not here" for ident, (*_, has_it, _) in enumerate(fleet, start=1)
    }
    crowds = {ident: Crowd(same=count, all=count) for ident, (*_, count) in enumerate(fleet, start=1)}
    return list(told(*events).workers.values()), said, crowds


def fits(fleet: Fleet, number: int) -> bool:
    ram, taken, is_silent, has_it, _ = fleet[number]
    return not is_silent and has_it and (ram - taken) * GIB >= claim_for(SPEC, HAS_IT).ram_bytes


@given(fleet=FLEETS, spec=SPECS)
def test_a_placement_never_exceeds_a_worker_and_a_fit_is_never_missed(
    fleet: Fleet, spec: DeploymentSpec
) -> None:
    workers, said, crowds = fleet_of(fleet)
    found = place(instance(requested(spec=spec)), workers, said, crowds)
    fitting = [number for number in range(len(fleet)) if fits(fleet, number)]
    if isinstance(found, Placement):
        assert found.worker.worker_id - 1 in fitting
        assert found.claim.ram_bytes <= found.worker.ram_free_bytes()
        assert found.candidates == len(fitting)
    else:
        assert not fitting
        assert [reason.worker for reason in found.reasons] == [w.name for w in workers]


@given(fleet=FLEETS, spec=SPECS, data=st.data())
def test_the_order_of_workers_never_matters(fleet: Fleet, spec: DeploymentSpec, data: st.DataObject) -> None:
    workers, said, crowds = fleet_of(fleet)
    shuffled = data.draw(st.permutations(workers))
    state = instance(requested(spec=spec))
    assert place(state, shuffled, said, crowds) == place(state, workers, said, crowds)


@given(count=st.integers(1, 30), rams=st.lists(st.integers(1, 6), min_size=1, max_size=4), spec=SPECS)
def test_placing_one_after_another_never_overcommits(
    count: int, rams: list[int], spec: DeploymentSpec
) -> None:
    events: list[Event] = []
    for ident, ram in enumerate(rams, start=1):
        events += worker(ident, ram_bytes=ram * GIB)
    refused = 0
    for instance_id in range(100, 100 + count):
        workers = told(*events).workers
        found = place(instance(requested(spec=spec)), workers.values(), dict.fromkeys(workers, HAS_IT), {})
        if isinstance(found, Placement):
            events.append(reserved(instance_id, worker_id=found.worker.worker_id, claim=found.claim))
        else:
            refused += 1
    claim = claim_for(spec, HAS_IT).ram_bytes
    room = sum(ram * GIB // claim for ram in rams)
    assert refused == max(0, count - room)
    assert all(state.ram_free_bytes() >= 0 for state in told(*events).workers.values())


@given(fleet=FLEETS)
def test_what_is_unplaceable_names_every_worker_once(fleet: Fleet) -> None:
    workers, said, crowds = fleet_of(fleet)
    silenced = [dataclasses.replace(one, maintenance=True) for one in workers]
    assume(silenced)
    found = place(instance(requested()), silenced, said, crowds)
    assert isinstance(found, Unplaceable)
    assert [reason.worker for reason in found.reasons] == [f"w{n}" for n in range(1, len(fleet) + 1)]


def test_deleted_workers_are_never_ready() -> None:
    given = (*worker(), reserved(9), WorkerDeleted(worker_id=1, name="w1"))
    assert reason_of(tried(*given)) == ("state", "w1 is deleted, not ready")
