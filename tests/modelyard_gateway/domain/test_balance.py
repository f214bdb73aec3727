from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.events import RouteChanged, RouteTarget
from modelyard_gateway.domain.balance import Candidate, Trust, candidates, pick
from modelyard_gateway.domain.table import Endpoint
from modelyard_gateway_facts import fold, route, running, silent


def endpoint(instance_id: int, deployment_id: int = 1) -> Endpoint:
    return Endpoint(instance_id, deployment_id, worker_id=1, attempt=0, host="127.0.0.1", port=instance_id)


def candidate(
    instance_id: int,
    *,
    deployment_id: int = 1,
    weight: int = 100,
    in_flight: int = 0,
    trust: Trust = Trust.GOOD,
) -> Candidate:
    return Candidate(endpoint(instance_id, deployment_id), weight, in_flight, trust)


def picked(among: list[Candidate], turn: int = 1) -> int | None:
    found = pick(among, turn)
    assert pick(among[::-1], turn) == found
    return found.instance_id if found else None


def test_nobody_is_picked_from_nobody() -> None:
    assert picked([]) is None


def test_the_instance_with_fewest_requests_in_flight_is_picked() -> None:
    among = [candidate(1, in_flight=2), candidate(2, in_flight=1), candidate(3, in_flight=3)]
    assert {picked(among, turn) for turn in range(50)} == {2}


def test_a_doubtful_instance_is_picked_after_every_good_one_and_a_failed_one_last() -> None:
    failed = candidate(1, trust=Trust.FAILED)
    doubtful = candidate(2, trust=Trust.DOUBTFUL, in_flight=5)
    good = candidate(3, in_flight=50)
    assert picked([failed, doubtful, good]) == 3
    assert picked([failed, doubtful]) == 2
    assert picked([failed]) == 1


def test_equals_take_turns() -> None:
    among = [candidate(1), candidate(2), candidate(3), candidate(4)]
    counts = Counter(picked(among, turn) for turn in range(1000))
    assert all(240 <= counts[instance_id] <= 260 for instance_id in (1, 2, 3, 4))


def test_equals_take_turns_even_where_other_routes_take_every_second_turn() -> None:
    among = [candidate(1), candidate(2)]
    counts = Counter(picked(among, turn) for turn in range(0, 2000, 2))
    assert abs(counts[1] - counts[2]) <= 20


def test_targets_get_requests_by_their_weight_however_many_instances_they_have() -> None:
    among = [candidate(n, deployment_id=1, weight=10) for n in range(1, 6)]
    among.append(candidate(9, deployment_id=2, weight=90))
    counts = Counter(picked(among, turn) for turn in range(1000))
    assert 880 <= counts[9] <= 920


def test_what_was_tried_and_what_weighs_nothing_is_no_candidate() -> None:
    targets = (RouteTarget(deployment_id=1), RouteTarget(deployment_id=2, weight=0))
    table = fold(
        route(1, "a"),
        RouteChanged(route_id=1, name="a", targets=targets, generic_proxy=False),
        running(10),
        running(11, worker_id=2),
        running(12, worker_id=3),
        running(20, deployment_id=2),
        silent(2),
    )
    tried = {table.instances.endpoints[10]}
    failed = {table.instances.endpoints[12]}
    in_flight = {table.instances.endpoints[11]: 3}
    found = candidates(table, table.routes.by_id[1], in_flight=in_flight, failed=failed, tried=tried)
    assert {(c.endpoint.instance_id, c.trust, c.in_flight) for c in found} == {
        (11, Trust.DOUBTFUL, 3),
        (12, Trust.FAILED, 0),
    }


@st.composite
def offer(draw: st.DrawFn) -> Candidate:
    deployment_id = draw(st.integers(1, 3))
    return candidate(
        draw(st.integers(1, 50)),
        deployment_id=deployment_id,
        weight=deployment_id * 10,
        in_flight=draw(st.integers(0, 3)),
        trust=draw(st.sampled_from(Trust)),
    )


offers = st.lists(offer(), min_size=1, max_size=12, unique_by=lambda c: c.endpoint.instance_id)


@given(offers, st.integers(0, 10**9))
def test_a_pick_is_of_the_most_trusted_and_the_least_loaded_of_its_target(
    among: list[Candidate], turn: int
) -> None:
    found = pick(among, turn)
    assert pick(among[::-1], turn) == found
    chosen = next(c for c in among if c.endpoint == found)
    assert chosen.trust == min(c.trust for c in among)
    siblings = [
        c
        for c in among
        if c.endpoint.deployment_id == chosen.endpoint.deployment_id and c.trust is chosen.trust
    ]
    assert chosen.in_flight == min(c.in_flight for c in siblings)
