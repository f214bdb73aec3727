from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from modelyard_contracts.base import Event
from modelyard_contracts.events import Affinity, FallbackStatus, RouteChanged, RouteOptions, RouteTarget
from modelyard_gateway.domain.balance import Balancer
from modelyard_gateway.domain.limits import Ejection
from modelyard_gateway.domain.slot import Address, Slot, Trust
from modelyard_gateway.domain.table import RoutingTable
from modelyard_gateway_facts import (
    fold,
    recorded,
    route,
    route_to,
    running,
    scheduled,
    silent,
    starting,
    stopping,
)

ONCE = Ejection(failures=1, for_s=10.0, longest_s=60.0)
THRICE = Ejection(failures=3, for_s=10.0, longest_s=60.0)


class Stand:
    """A table and a balancer; the route is number 1."""

    def __init__(self, *events: Event) -> None:
        self.table: RoutingTable = fold(*events)
        self.balancer = Balancer(self.table)

    def pick(self, tried: Sequence[Slot] = (), now: float = 0.0) -> Slot | None:
        return self.balancer.pick(self.table.routes.by_id[1], tried, now)

    def picked(self, tried: Sequence[Slot] = (), now: float = 0.0) -> int | None:
        slot = self.pick(tried, now)
        return None if slot is None else slot.instance_id

    def slot(self, instance_id: int) -> Slot:
        self.pick()
        return self.balancer._slot(self.table.instances.endpoints[instance_id], 0.0)

    def counts(self, turns: int = 1000) -> Counter[int | None]:
        return Counter(self.picked() for _ in range(turns))


def weighted(*targets: tuple[int, int]) -> RouteChanged:
    wanted = tuple(RouteTarget(deployment_id=which, weight=weight) for which, weight in targets)
    return RouteChanged(route_id=1, name="a", targets=wanted, generic_proxy=False)


def test_nobody_is_picked_from_nobody() -> None:
    assert Stand(route(1, "a")).pick() is None


def test_the_instance_with_fewest_requests_in_flight_is_picked() -> None:
    stand = Stand(route(1, "a"), running(1), running(2), running(3))
    stand.slot(1).in_flight, stand.slot(2).in_flight, stand.slot(3).in_flight = 2, 1, 3
    assert set(stand.counts(50)) == {2}


def test_a_doubtful_instance_is_picked_after_every_good_one_and_a_failed_one_last() -> None:
    stand = Stand(route(1, "a"), running(1), running(2, worker_id=2), running(3), silent(2))
    stand.slot(1).failed(0.0, ONCE)
    stand.slot(2).in_flight, stand.slot(3).in_flight = 5, 50
    assert stand.picked() == 3
    assert stand.picked([stand.slot(3)]) == 2
    assert stand.picked([stand.slot(3), stand.slot(2)]) == 1
    assert stand.picked([stand.slot(3), stand.slot(2), stand.slot(1)]) is None


def test_equals_take_turns() -> None:
    stand = Stand(route(1, "a"), *(running(n) for n in (1, 2, 3, 4)))
    assert all(240 <= count <= 260 for count in stand.counts().values())


def test_equals_take_turns_even_where_other_routes_take_every_second_turn() -> None:
    stand = Stand(
        route(1, "a"), route(2, "b", deployment_id=9), running(1), running(2), running(9, deployment_id=9)
    )
    counts: Counter[int | None] = Counter()
    for _ in range(1000):
        counts[stand.picked()] += 1
        stand.balancer.pick(stand.table.routes.by_id[2], (), 0.0)
    assert abs(counts[1] - counts[2]) <= 20


def test_targets_get_requests_by_their_weight_however_many_instances_they_have() -> None:
    many = [running(n) for n in range(1, 6)]
    stand = Stand(route(1, "a"), weighted((1, 10), (2, 90)), *many, running(9, deployment_id=2))
    assert 880 <= stand.counts()[9] <= 920


def test_a_target_whose_instances_fail_leaves_its_share_to_the_others() -> None:
    stand = Stand(
        route(1, "a"),
        weighted((1, 80), (2, 10), (3, 10), (4, 0)),
        *(running(n, deployment_id=n) for n in (1, 2, 3, 4)),
    )
    stand.slot(1).failed(0.0, ONCE)
    counts = stand.counts()
    assert set(counts) == {2, 3}
    assert abs(counts[2] - counts[3]) <= 40


def test_what_stops_is_picked_no_more() -> None:
    stand = Stand(route(1, "a"), running(1), running(2))
    assert set(stand.counts(20)) == {1, 2}
    stand.table.apply(recorded(9, stopping(1)))
    assert set(stand.counts(20)) == {2}


def test_one_request_at_a_time_finds_out_whether_an_ejected_instance_is_well_again() -> None:
    stand = Stand(route(1, "a"), running(1), running(2))
    slot = stand.slot(1)
    for _ in range(2):
        slot.failed(0.0, THRICE)
    assert slot.trust(0.0) is Trust.GOOD
    slot.failed(0.0, THRICE)
    assert slot.trust(9.9) is Trust.FAILED
    assert slot.trust(10.0) is Trust.GOOD
    slot.taken(0.0)
    assert slot.trust(10.0) is Trust.FAILED
    slot.failed(10.0, THRICE)
    assert (slot.trust(29.9), slot.trust(30.0)) == (Trust.FAILED, Trust.GOOD)
    slot.taken(0.0)
    slot.succeeded()
    assert slot.trust(30.0) is Trust.GOOD
    slot.failed(30.0, THRICE)
    assert slot.trust(30.0) is Trust.GOOD


def test_a_restart_is_a_new_instance_to_judge() -> None:
    stand = Stand(route(1, "a"), running(1))
    stand.slot(1).failed(0.0, ONCE)
    stand.table.apply(recorded(9, running(1, attempt=1, port=9)))
    slot = stand.pick()
    assert slot is not None
    assert (slot.trust(0.0), slot.address) == (Trust.GOOD, Address("127.0.0.1", 9))


@given(st.lists(st.integers(0, 3), min_size=17, max_size=200), st.integers(0, 50))
def test_of_many_instances_one_of_the_less_busy_is_picked(loads: list[int], turns: int) -> None:
    stand = Stand(route(1, "a"), *(running(n) for n in range(len(loads))))
    for n, load in enumerate(loads):
        stand.slot(n).in_flight = load
    for _ in range(turns):
        stand.pick()
    slot = stand.pick()
    assert slot is not None
    assert sum(load >= slot.in_flight for load in loads) >= 16


def test_slots_of_instances_that_are_gone_are_forgotten() -> None:
    stand = Stand(route(1, "a"), running(1))
    for attempt in range(1, 300):
        stand.table.apply(recorded(10 + attempt, running(1, attempt=attempt)))
        stand.pick()
    assert len(stand.balancer._slots) <= 103


def test_a_silent_instance_at_which_requests_run_comes_after_others_until_it_speaks() -> None:
    stand = Stand(route(1, "a"), running(1), running(2))
    slot = stand.slot(1)
    slot.taken(0.0)
    stand.slot(2).in_flight, stand.slot(2).heard_at = 5, 20.0
    for now, expected in ((0.0, 1), (7.9, 1), (8.0, 2)):
        stand.balancer.listen(now, ONCE, 8.0)
        assert stand.picked(now=now) == expected
    slot.heard_at = 9.0
    stand.balancer.listen(9.1, ONCE, 8.0)
    assert stand.picked(now=9.1) == 1


def test_an_instance_without_requests_and_a_tunnel_may_be_silent() -> None:
    stand = Stand(route(1, "a"), running(1))
    slot = stand.slot(1)
    slot.in_flight = slot.tunnels = 1
    stand.balancer.listen(100.0, ONCE, 8.0)
    assert slot.trust(100.0) is Trust.GOOD


def test_a_new_instance_comes_to_its_share_slowly() -> None:
    stand = Stand(route(1, "a"), running(1))
    stand.balancer = Balancer(stand.table, slow_start_s=10.0)
    stand.slot(1)
    now = 20.0
    stand.table.apply(recorded(9, running(2)))
    stand.pick(now=now)
    old = stand.slot(1)
    shares = []
    for age in (0.0, 5.0, 10.0):
        old.in_flight = 4
        new = stand.balancer._slot(stand.table.instances.endpoints[2], now)
        new.in_flight = 0
        while stand.picked(now=now + age) == 2:
            new.in_flight += 1
        shares.append(new.in_flight)
    assert shares == sorted(shares)
    assert (shares[0], shares[1]) == (0, 2)
    assert shares[2] >= 4


def test_the_first_target_of_the_chain_that_takes_such_a_failure_is_fallen_back_to() -> None:
    stand = Stand(
        route_to(
            RouteTarget(deployment_id=1),
            RouteTarget(deployment_id=2, fallback_status_codes=(FallbackStatus.TOO_MANY,)),
            RouteTarget(deployment_id=3, fallback_status_codes=(FallbackStatus.FAILED,)),
            RouteTarget(deployment_id=4, fallback_status_codes=(FallbackStatus.FAILED,)),
            name="a",
        ),
        *(running(n, deployment_id=n) for n in (1, 2, 3, 4)),
    )
    chain = stand.table.routes.by_id[1]
    assert set(stand.counts(20)) == {1}

    def to(status: int, tried: Sequence[Slot] = ()) -> int | None:
        slot = stand.balancer.fall_back(chain, status, tried, 0.0)
        return None if slot is None else slot.instance_id

    assert [to(status) for status in (400, 404, 422, 429, 500, 503, 504)] == [None, None, None, 2, 3, 3, 3]
    assert to(503, [stand.slot(3)]) == 4
    stand.slot(3).failed(0.0, ONCE)
    assert to(503) == 4
    assert to(503, [stand.slot(4)]) == 3
    assert to(503, [stand.slot(3), stand.slot(4)]) is None


def test_requests_of_one_prefix_go_to_one_instance_and_say_why() -> None:
    options = RouteOptions(affinity=Affinity.PREFIX)
    stand = Stand(route_to(RouteTarget(deployment_id=1), name="a", options=options), *map(running, (1, 2, 3)))
    found = {stand.balancer.pick(stand.table.routes.by_id[1], (), 0.0, None, 7) for _ in range(20)}
    assert len(found) == 1
    assert stand.balancer.reason == "same prefix"


def taken_by(stand: Stand, requests: int) -> list[int]:
    """How many of them each instance has in the end, if none ends."""
    slots = [stand.slot(ident) for ident in (1, 2)]
    for _ in range(requests):
        slot = stand.pick()
        assert slot is not None
        slot.in_flight += 1
    return [slot.in_flight for slot in slots]


def test_an_instance_with_more_devices_takes_more_and_the_reason_says_so() -> None:
    stand = Stand(route(1, "a"), scheduled(1, 4), scheduled(2, 1), running(1), running(2))
    assert taken_by(stand, 50) == [40, 10]
    assert stand.balancer.reason.startswith("least requests in flight for its capacity (")
    assert stand.balancer.reason.endswith((" (devices: 4)", " (devices: 1)"))


def test_what_runs_at_a_time_counts_before_devices_but_only_where_it_is_known_of_all() -> None:
    def of(instance_id: int, command: str) -> Event:
        return starting(instance_id, backend="vLLM", command=tuple(command.split()))

    there = (running(1), running(2))
    known = of(1, "vllm --max-num-seqs 16"), of(2, "vllm --max-num-seqs 48")
    assert taken_by(Stand(route(1, "a"), scheduled(1, 4), *known, *there), 40) == [10, 30]
    known = of(1, "vllm --max-num-seqs 256"), of(2, "vllm")
    stand = Stand(route(1, "a"), *known, *there)
    assert taken_by(stand, 40) == [20, 20]
    assert stand.balancer.reason == "least requests in flight"


def test_affinity_leaves_a_smaller_instance_at_a_smaller_load() -> None:
    options = RouteOptions(affinity=Affinity.PREFIX)
    at_one = route_to(RouteTarget(deployment_id=1), name="a", options=options)
    stand = Stand(at_one, scheduled(1, 4), scheduled(2, 1), running(1), running(2))
    stand.pick()
    for key in range(1000):
        slot = stand.balancer.pick(
            stand.table.routes.by_id[1], (), 0.0, None, key * 0x9E3779B97F4A7C15 % 2**64
        )
        assert slot is not None
        slot.in_flight += 1
    assert stand.slot(2).in_flight <= 1000 * 1.25 / 5 + 1
