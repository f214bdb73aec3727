"""Given events, then what can be routed."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from modelyard_contracts.access import RateLimits
from modelyard_contracts.base import Event
from modelyard_contracts.events import (
    ApiKeyCreated,
    ApiKeyLimitsChanged,
    ApiKeyRevoked,
    InstanceDownloading,
    InstanceFailed,
    InstanceRemoved,
    InstanceRunning,
    InstanceStarting,
    InstanceStopped,
    InstanceStopping,
    RouteChanged,
    RouteCreated,
    RouteDeleted,
    RouteLimitsChanged,
    RouteTarget,
    UserDeleted,
    UserLimitsChanged,
    WorkerDeleted,
    WorkerLost,
    WorkerReady,
    WorkerRecovered,
    WorkerSilent,
)
from modelyard_contracts.failures import FailureCause
from modelyard_gateway.domain.table import RoutingTable
from modelyard_gateway_facts import (
    created_key,
    failed,
    fold,
    lost,
    recorded,
    removed,
    revoked,
    route,
    route_changed,
    running,
    silent,
    starting,
    stopped,
    stopping,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def routable(table: RoutingTable, name: str) -> list[int]:
    found = table.routes.by_name.get(name)
    return sorted(endpoint.instance_id for _, endpoint in table.endpoints(found)) if found else []


# --- routes


def test_a_route_is_found_by_name_and_by_id() -> None:
    table = fold(route(7, "tiny", deployment_id=1))
    assert table.routes.by_name["tiny"] is table.routes.by_id[7]


def test_a_renamed_route_keeps_its_id_and_its_age() -> None:
    table = fold(route(7, "old"), route_changed(7, "new"))
    assert list(table.routes.by_name) == ["new"]
    assert table.routes.by_id[7].name == "new"
    assert table.routes.by_id[7].created == recorded(1, route(7, "old")).time


def test_two_routes_can_swap_names() -> None:
    table = fold(
        route(1, "a"), route(2, "b"), route_changed(1, "b"), route_changed(2, "a"), route_changed(2, "a")
    )
    assert {name: found.id for name, found in table.routes.by_name.items()} == {"a": 2, "b": 1}


def test_a_deleted_route_is_gone_and_its_name_is_free() -> None:
    table = fold(route(1, "a"), RouteDeleted(route_id=1, name="a"), route(2, "a"))
    assert list(table.routes.by_id) == [2]
    assert table.routes.by_name["a"].id == 2


def test_changing_the_target_changes_the_instances() -> None:
    table = fold(route(1, "a", deployment_id=1), running(10, deployment_id=1), running(20, deployment_id=2))
    assert routable(table, "a") == [10]
    table.apply(recorded(4, route_changed(1, "a", deployment_id=2)))
    assert routable(table, "a") == [20]


# --- instances


def test_an_instance_is_routable_once_it_runs() -> None:
    assert routable(fold(route(1, "a"), starting(10)), "a") == []
    assert routable(fold(route(1, "a"), starting(10), running(10)), "a") == [10]


def test_an_instance_that_stops_fails_or_goes_takes_no_requests() -> None:
    for end in (stopping(10), failed(10), stopped(10), removed(10)):
        assert routable(fold(route(1, "a"), running(10), running(11), end), "a") == [11]


def test_a_restarted_instance_is_another_endpoint() -> None:
    table = fold(
        route(1, "a"), running(10, port=1), failed(10), starting(10, 1), running(10, attempt=1, port=2)
    )
    assert [(e.attempt, e.port) for _, e in table.endpoints(table.routes.by_id[1])] == [(1, 2)]


def test_an_earlier_attempt_says_nothing_about_the_present_one() -> None:
    table = fold(route(1, "a"), running(10, attempt=1), failed(10), stopped(10), running(10, port=9))
    assert [(e.attempt, e.port) for _, e in table.endpoints(table.routes.by_id[1])] == [(1, 8000)]


def test_an_instance_that_is_being_stopped_does_not_come_back() -> None:
    assert routable(fold(route(1, "a"), stopping(10), running(10)), "a") == []


def test_a_silent_worker_puts_its_instances_in_doubt_and_keeps_them() -> None:
    for word in (silent(1), lost(1)):
        table = fold(route(1, "a"), running(10, worker_id=1), running(11, worker_id=2), word)
        assert routable(table, "a") == [10, 11]
        doubtful = {i for i, e in table.instances.endpoints.items() if table.instances.is_doubtful(e)}
        assert doubtful == {10}


def test_a_worker_that_is_back_is_trusted() -> None:
    ready = WorkerReady(worker_id=1, address="127.0.0.1", agent_version="1", session="s")
    for word in (WorkerRecovered(worker_id=1), ready):
        table = fold(running(10, worker_id=1), silent(1), word)
        assert not table.instances.is_doubtful(table.instances.endpoints[10])


# --- keys


def test_a_revoked_key_is_gone() -> None:
    assert list(fold(created_key(1), created_key(2), revoked(1)).keys.by_access_key) == ["key2"]


def test_the_keys_of_a_deleted_user_are_gone_even_if_made_a_moment_later() -> None:
    deleted = UserDeleted(user_id=1, username="ann")
    table = fold(created_key(1, user_id=1), created_key(2, user_id=2), deleted, created_key(3, user_id=1))
    assert list(table.keys.by_access_key) == ["key2"]


def test_no_allowed_models_is_not_all_models() -> None:
    table = fold(created_key(1, allowed=()), created_key(2, allowed=None))
    assert table.keys.by_access_key["key1"].allowed_model_names == frozenset()
    assert table.keys.by_access_key["key2"].allowed_model_names is None


# --- always

ids = st.integers(1, 4)
names = st.sampled_from(["a", "b", "c"])
targets = st.lists(st.builds(RouteTarget, deployment_id=ids, weight=st.integers(0, 3)), max_size=2).map(tuple)
agent = {"instance_id": ids, "deployment_id": ids, "worker_id": ids, "attempt": st.integers(0, 2)}
instance = {"instance_id": ids, "deployment_id": ids}
worker = {"worker_id": ids}
key = {"key_id": ids, "user_id": ids, "name": names}
routes = {"route_id": ids, "name": names, "targets": targets, "generic_proxy": st.booleans()}
any_event: st.SearchStrategy[Event] = st.one_of(
    st.builds(RouteCreated, **routes),
    st.builds(RouteChanged, **routes),
    st.builds(RouteDeleted, route_id=ids, name=names),
    st.builds(
        InstanceRunning,
        host=st.just("127.0.0.1"),
        port=st.integers(1, 3),
        pid=ids,
        backend_version=names,
        startup_s=st.just(1.0),
        **agent,
    ),
    st.builds(InstanceStarting, pid=ids, command=st.just(("x",)), **agent),
    st.builds(InstanceDownloading, source=names, **agent),
    st.builds(InstanceFailed, cause=st.just(FailureCause.CRASHED), message=names, **agent),
    st.builds(InstanceStopped, **agent),
    st.builds(InstanceStopping, reason=st.just("scale_down"), **instance),
    st.builds(InstanceRemoved, reason=st.just("scale_down"), **instance),
    st.builds(WorkerSilent, last_seen=st.just(NOON), **worker),
    st.builds(WorkerLost, last_seen=st.just(NOON), grace_s=st.just(1.0), **worker),
    st.builds(WorkerRecovered, **worker),
    st.builds(WorkerDeleted, name=names, **worker),
    st.builds(ApiKeyCreated, access_key=names, secret_hash=names, **key),
    st.builds(ApiKeyRevoked, **key),
    st.builds(UserDeleted, user_id=ids, username=names),
)
stories = st.lists(any_event, max_size=40)


def test_limits_are_those_said_last() -> None:
    few, many = RateLimits(concurrency=1), RateLimits(concurrency=9)
    said = [
        created_key(1, limits=few),
        ApiKeyLimitsChanged(key_id=1, user_id=1, limits=many),
        ApiKeyLimitsChanged(key_id=2, user_id=1, limits=many),
        UserLimitsChanged(user_id=1, limits=few),
        UserLimitsChanged(user_id=1, limits=many),
        RouteLimitsChanged(route_id=1, limits=few),
        UserLimitsChanged(user_id=2, limits=few),
        UserLimitsChanged(user_id=2, limits=RateLimits()),
    ]
    table = fold(*said)
    assert [key.limits for key in table.keys.by_access_key.values()] == [many]
    assert (table.allowances.of_user, table.allowances.of_route) == ({1: many}, {1: few})
    gone = fold(*said, UserDeleted(user_id=1, username="a"), RouteDeleted(route_id=1, name="a"))
    assert (gone.allowances.of_user, gone.allowances.of_route) == ({}, {})


@settings(max_examples=300)
@given(stories, st.integers(0, 40))
def test_seeing_events_again_changes_nothing(events: list[Event], again_from: int) -> None:
    once = fold(*events)
    twice = fold(*events)
    for seq, event in enumerate(events, start=1):
        if seq > again_from:
            twice.apply(recorded(seq, event))
    assert once == twice


@settings(max_examples=300)
@given(stories)
def test_names_and_ids_tell_of_the_same_routes(events: list[Event]) -> None:
    table = fold(*events)
    for name, found in table.routes.by_name.items():
        assert found.name == name
        assert table.routes.by_id[found.id] is found


@settings(max_examples=300)
@given(stories)
def test_an_endpoint_is_listed_exactly_under_its_deployment(events: list[Event]) -> None:
    instances = fold(*events).instances
    listed = [endpoint for deployment in range(1, 5) for endpoint in instances.of(deployment)]
    assert sorted(listed, key=lambda e: e.instance_id) == [
        instances.endpoints[instance_id] for instance_id in sorted(instances.endpoints)
    ]
    assert all(e in instances.of(e.deployment_id) for e in instances.endpoints.values())


@settings(max_examples=300)
@given(stories)
def test_the_last_word_on_an_instance_is_heeded(events: list[Event]) -> None:
    table = fold(*events)
    for instance_id in table.instances.endpoints:
        words = [e for e in events if getattr(e, "instance_id", None) == instance_id]
        assert not isinstance(words[-1], InstanceStopping | InstanceRemoved)


@settings(max_examples=300)
@given(stories)
def test_a_key_works_only_if_it_was_made_for_a_living_user_and_not_revoked_since(events: list[Event]) -> None:
    table = fold(*events)
    deleted = {event.user_id for event in events if isinstance(event, UserDeleted)}
    for found in table.keys.by_access_key.values():
        words = [e for e in events if isinstance(e, ApiKeyCreated | ApiKeyRevoked)]
        about = [e for e in words if e.key_id == found.key_id]
        assert any(isinstance(e, ApiKeyCreated) and e.user_id == found.user_id for e in about)
        assert found.user_id not in deleted
        assert not isinstance(about[-1], ApiKeyRevoked)
