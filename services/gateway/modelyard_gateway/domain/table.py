"""The routing table: a fold of the event log that answers every question a request has.

It is changed in place, one event at a time, by one follower; a request reads it without waiting. What
the fold keeps in the order of the log, not of the clock: the same events give the same table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from modelyard_backends.concurrency import sequences_at_once
from modelyard_contracts.access import AccessPolicy
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    AgentInstanceEvent,
    ApiKeyEvent,
    InstanceDownloading,
    InstanceEvent,
    InstanceFailed,
    InstanceRemoved,
    InstanceRequested,
    InstanceRunning,
    InstanceScheduled,
    InstanceStarting,
    InstanceStopped,
    InstanceStopping,
    InstanceUnready,
    ProviderChanged,
    ProviderCreated,
    ProviderDeleted,
    ProviderEvent,
    RouteChanged,
    RouteCreated,
    RouteDeleted,
    RouteEvent,
    RouteOptions,
    RouteTarget,
    UserCreated,
    UserDeleted,
    WorkerDeleted,
    WorkerEvent,
    WorkerLost,
    WorkerReady,
    WorkerRecovered,
    WorkerSilent,
)

from modelyard_gateway.domain.allowances import AllowanceEvent, Allowances
from modelyard_gateway.domain.capacity import UNKNOWN, Capacity
from modelyard_gateway.domain.keys import ANONYMOUS, Key, Keys


@dataclass(frozen=True, slots=True)
class Route:
    """A public model name. `id` survives renames."""

    id: int
    name: str
    targets: tuple[RouteTarget, ...]
    generic_proxy: bool
    created: datetime
    categories: tuple[str, ...] = ()
    options: RouteOptions | None = None
    """None: none is set."""
    falls_back: bool = False
    """Some target is asked only where others could not answer."""
    meta: dict[str, Any] = field(default_factory=dict, compare=False)
    public: bool = False
    """May be called without a key."""
    only_for: frozenset[int] | None = None
    """The users who may call it, admins aside; None: every user."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A model server of others."""

    id: int
    name: str
    base_url: str
    sealed_api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model server that said it answers. A restart is a new endpoint: `attempt` differs."""

    instance_id: int
    deployment_id: int
    worker_id: int
    attempt: int
    host: str
    port: int
    served: "Served | None" = None
    relay_token: str | None = None
    """Sealed; with it, the address is the agent's relay."""
    version: str = ""
    """Of its backend."""
    capacity: Capacity = UNKNOWN


@dataclass(frozen=True, slots=True)
class Served:
    """The names that a model server answers to: its deployment's, and `<deployment>:<adapter>`."""

    name: str
    adapters: tuple[str, ...] = ()
    """In the order in which they were loaded."""
    backend: str | None = None


@dataclass
class Routes:
    by_id: dict[int, Route] = field(default_factory=dict)
    by_name: dict[str, Route] = field(default_factory=dict)
    anonymous: Key | None = None
    """What stands for the key of those who show none; None where nothing is public."""

    def apply(self, event: RouteEvent, time: datetime) -> None:
        known = self.by_id.get(event.route_id)
        match event:
            case RouteCreated():
                self.put(_route(event, time))
            case RouteChanged() if known is not None:
                self.put(_route(event, known.created))
            case RouteDeleted() if known is not None:
                self._forget_name(known)
                del self.by_id[known.id]
                if known.public:
                    self._note_public()
            case _:
                pass

    def put(self, route: Route) -> None:
        known = self.by_id.get(route.id)
        if known is not None:
            self._forget_name(known)
        self.by_id[route.id] = route
        self.by_name[route.name] = route
        if route.public or (known is not None and known.public):
            self._note_public()

    def _note_public(self) -> None:
        names = frozenset(route.name for route in self.by_id.values() if route.public)
        self.anonymous = Key(ANONYMOUS, ANONYMOUS, "", "", None, names) if names else None

    def _forget_name(self, route: Route) -> None:
        """The name may be another route's by now: two routes can swap names in one batch."""
        if self.by_name.get(route.name) is route:
            del self.by_name[route.name]


def _route(event: RouteCreated | RouteChanged, created: datetime) -> Route:
    categories = tuple(category.value for category in event.categories)
    return Route(
        id=event.route_id,
        name=event.name,
        targets=event.targets,
        generic_proxy=event.generic_proxy,
        created=created,
        categories=categories,
        options=None if event.options == NO_OPTIONS else event.options,
        falls_back=any(target.fallback_status_codes for target in event.targets),
        meta=event.meta,
        public=event.access_policy is AccessPolicy.PUBLIC,
        only_for=(
            frozenset(event.allowed_user_ids)
            if event.access_policy is AccessPolicy.ALLOWED_PRINCIPALS
            else None
        ),
    )


NO_OPTIONS = RouteOptions()


def apply_provider(providers: dict[int, Provider], event: ProviderEvent) -> None:
    match event:
        case ProviderCreated() | ProviderChanged():
            ident = event.provider_id
            providers[ident] = Provider(ident, event.name, event.base_url, event.sealed_api_key)
        case ProviderDeleted():
            providers.pop(event.provider_id, None)
        case _:
            pass


@dataclass
class Instances:
    """The endpoints that take requests, and the workers whose endpoints are in doubt."""

    endpoints: dict[int, Endpoint] = field(default_factory=dict)
    silent_workers: set[int] = field(default_factory=set)
    _of_deployment: dict[int, dict[int, Endpoint]] = field(default_factory=dict)
    stopping: set[int] = field(default_factory=set)
    """Asked to stop: a late word that one of them runs does not bring it back."""
    served: dict[int, Served] = field(default_factory=dict)
    capacities: dict[int, Capacity] = field(default_factory=dict)

    def apply(self, event: InstanceEvent) -> None:
        match event:
            case InstanceRequested():
                adapters = tuple(adapter.lora_name for adapter in event.spec.lora_list)
                self.served[event.instance_id] = Served(event.deployment_name, adapters, event.spec.backend)
            case InstanceScheduled():
                parts = (event.claim, *(one.claim for one in event.subordinates))
                devices = sum(len(part.vram_bytes) for part in parts)
                self.capacities[event.instance_id] = Capacity(devices=max(1, devices))
            case InstanceRunning():
                self._runs(event)
            case InstanceStopping():
                self.stopping.add(event.instance_id)
                self._drop(event.instance_id)
            case InstanceRemoved():
                self.stopping.discard(event.instance_id)
                self.served.pop(event.instance_id, None)
                self.capacities.pop(event.instance_id, None)
                self._drop(event.instance_id)
            case InstanceFailed() | InstanceStopped() | InstanceUnready():
                self._does_not_run(event)
            case InstanceStarting():
                self._does_not_run(event)
                served = self.served.get(event.instance_id)
                if served is not None and event.backend is not None:
                    self.served[event.instance_id] = replace(served, backend=event.backend)
                known = self.capacities.get(event.instance_id, UNKNOWN)
                sequences = sequences_at_once(event.backend, event.command)
                self.capacities[event.instance_id] = replace(known, sequences=sequences)
            case InstanceDownloading():
                self._does_not_run(event)
            case _:
                pass

    def apply_worker(self, event: WorkerEvent) -> None:
        match event:
            case WorkerSilent() | WorkerLost():
                self.silent_workers.add(event.worker_id)
            case WorkerRecovered() | WorkerReady() | WorkerDeleted():
                self.silent_workers.discard(event.worker_id)
            case _:
                pass

    def of(self, deployment_id: int) -> Iterable[Endpoint]:
        return self._of_deployment.get(deployment_id, {}).values()

    def is_doubtful(self, endpoint: Endpoint) -> bool:
        return endpoint.worker_id in self.silent_workers

    def _runs(self, event: InstanceRunning) -> None:
        if event.instance_id in self.stopping or self._is_older(event):
            return
        endpoint = Endpoint(
            instance_id=event.instance_id,
            deployment_id=event.deployment_id,
            worker_id=event.worker_id,
            attempt=event.attempt,
            host=event.host,
            port=event.port,
            served=self.served.get(event.instance_id),
            relay_token=event.relay_token,
            version=event.backend_version,
            capacity=self.capacities.get(event.instance_id, UNKNOWN),
        )
        self.put(endpoint)

    def put(self, endpoint: Endpoint) -> None:
        self._drop(endpoint.instance_id)
        self.endpoints[endpoint.instance_id] = endpoint
        self._of_deployment.setdefault(endpoint.deployment_id, {})[endpoint.instance_id] = endpoint

    def _does_not_run(self, event: AgentInstanceEvent) -> None:
        if not self._is_older(event):
            self._drop(event.instance_id)

    def _is_older(self, event: AgentInstanceEvent) -> bool:
        """True if it tells of a start before the one that runs now."""
        known = self.endpoints.get(event.instance_id)
        return known is not None and event.attempt < known.attempt

    def _drop(self, instance_id: int) -> None:
        known = self.endpoints.pop(instance_id, None)
        if known is None:
            return
        siblings = self._of_deployment[known.deployment_id]
        del siblings[instance_id]
        if not siblings:
            del self._of_deployment[known.deployment_id]


@dataclass
class RoutingTable:
    """`seq` is the last event in it; earlier ones change nothing when they come again. `changes` grows
    with whatever may change where a request goes."""

    seq: int = 0
    changes: int = 0
    routes: Routes = field(default_factory=Routes)
    instances: Instances = field(default_factory=Instances)
    keys: Keys = field(default_factory=Keys)
    allowances: Allowances = field(default_factory=Allowances)
    providers: dict[int, Provider] = field(default_factory=dict)
    admins: set[int] = field(default_factory=set)

    def apply(self, recorded: Recorded[Any]) -> None:
        if recorded.seq <= self.seq:
            return
        self.seq = recorded.seq
        if isinstance(recorded.data, AllowanceEvent):
            self.allowances.apply(recorded.data)
        match recorded.data:
            case RouteEvent() as event:
                self.changes += 1
                self._apply_route(event, recorded.time)
            case InstanceEvent() as event:
                self.changes += 1
                self.instances.apply(event)
            case ProviderEvent() as event:
                self.changes += 1
                apply_provider(self.providers, event)
            case WorkerEvent() as event:
                self.changes += 1
                self.instances.apply_worker(event)
            case ApiKeyEvent() as event:
                self.keys.apply(event)
            case UserCreated(is_admin=True) as event:
                self.admins.add(event.user_id)
            case UserDeleted() as event:
                self.admins.discard(event.user_id)
                self.keys.drop_user(event.user_id)
            case _:
                pass

    def _apply_route(self, event: RouteEvent, time: datetime) -> None:
        before = self.routes.by_id.get(event.route_id)
        self.routes.apply(event, time)
        after = self.routes.by_id.get(event.route_id)
        if before is not None and after is not None and before.name != after.name:
            self.keys.rename_model(before.name, after.name)

    def may_call(self, key: Key, route: Route) -> bool:
        """As far as its own access goes; what the key itself may call is another matter."""
        return route.only_for is None or key.user_id in route.only_for or key.user_id in self.admins

    def forget(self) -> None:
        """As if nothing had been applied: the log is another one than it came from."""
        self.seq = 0
        self.changes += 1
        self.routes, self.instances, self.keys, self.providers = Routes(), Instances(), Keys(), {}
        self.allowances, self.admins = Allowances(), set()

    def endpoints(self, route: Route) -> Iterator[tuple[RouteTarget, Endpoint]]:
        for target in route.targets:
            if target.deployment_id is not None:
                for endpoint in self.instances.of(target.deployment_id):
                    yield target, endpoint
