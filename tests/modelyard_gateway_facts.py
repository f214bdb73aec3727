"""The facts a gateway lives on, with as few words as a test wants to say."""

from datetime import UTC, datetime, timedelta

from modelyard_contracts.access import EVERY_SCOPE, NO_LIMITS, RateLimits, Scope
from modelyard_contracts.base import Event
from modelyard_contracts.deployments import Claim, DeploymentSpec, LoraAdapter, Source
from modelyard_contracts.envelope import Cause, Recorded
from modelyard_contracts.events import (
    ApiKeyCreated,
    ApiKeyRevoked,
    Decision,
    InstanceFailed,
    InstanceRemoved,
    InstanceRequested,
    InstanceRunning,
    InstanceScheduled,
    InstanceStarting,
    InstanceStopped,
    InstanceStopping,
    ProviderCreated,
    RouteChanged,
    RouteCreated,
    RouteOptions,
    RouteTarget,
    WorkerLost,
    WorkerSilent,
)
from modelyard_contracts.failures import FailureCause
from modelyard_gateway.domain.table import RoutingTable

NO_OPTIONS = RouteOptions()
START = datetime(2026, 1, 1, tzinfo=UTC)


def cause(command_id: str) -> Cause:
    return Cause(
        command_id=command_id,
        actor="user/1",
        source="modelyard/test",
        time=START,
        correlation_id=command_id,
        causation_id=command_id,
    )


def recorded(seq: int, event: Event) -> Recorded[Event]:
    return Recorded(
        seq=seq,
        id=f"test/{seq}",
        type=type(event).__name__,
        source="modelyard/test",
        subject=f"{event.aggregate}/{event.aggregate_id()}",
        time=START + timedelta(seconds=seq),
        version=event.version,
        actor="user/1",
        correlation_id="test",
        causation_id="test",
        traceparent=None,
        data=event,
    )


def fold(*events: Event) -> RoutingTable:
    table = RoutingTable()
    for seq, event in enumerate(events, start=1):
        table.apply(recorded(seq, event))
    return table


def route(
    route_id: int, name: str, *, deployment_id: int = 1, weight: int = 100, generic_proxy: bool = False
) -> RouteCreated:
    return RouteCreated(
        route_id=route_id,
        name=name,
        targets=(RouteTarget(deployment_id=deployment_id, weight=weight),),
        generic_proxy=generic_proxy,
    )


def route_changed(
    route_id: int, name: str, *, deployment_id: int = 1, generic_proxy: bool = False
) -> RouteChanged:
    targets = (RouteTarget(deployment_id=deployment_id),)
    return RouteChanged(route_id=route_id, name=name, targets=targets, generic_proxy=generic_proxy)


def route_to(
    *targets: RouteTarget, name: str = "tiny", options: RouteOptions = NO_OPTIONS, generic_proxy: bool = False
) -> RouteCreated:
    """Number 1."""
    return RouteCreated(route_id=1, name=name, targets=targets, generic_proxy=generic_proxy, options=options)


def provider(provider_id: int, base_url: str, sealed_api_key: str | None = None) -> ProviderCreated:
    return ProviderCreated(
        provider_id=provider_id,
        name=f"provider {provider_id}",
        base_url=base_url,
        sealed_api_key=sealed_api_key,
    )


def running(
    instance_id: int,
    *,
    deployment_id: int = 1,
    worker_id: int = 1,
    attempt: int = 0,
    port: int = 8000,
    relay_token: str | None = None,
    version: str = "1",
) -> InstanceRunning:
    return InstanceRunning(
        instance_id=instance_id,
        deployment_id=deployment_id,
        worker_id=worker_id,
        attempt=attempt,
        host="127.0.0.1",
        port=port,
        pid=1,
        backend_version=version,
        startup_s=0.1,
        relay_token=relay_token,
    )


def requested(
    instance_id: int,
    *,
    name: str,
    deployment_id: int = 1,
    adapters: tuple[str, ...] = (),
    backend: str | None = None,
) -> InstanceRequested:
    """An instance of the deployment `name`, which is what its model server calls the model."""
    spec = DeploymentSpec(
        source=Source.LOCAL_PATH,
        local_path="/m.gguf",
        backend=backend,
        lora_list=tuple(LoraAdapter(lora_name=adapter) for adapter in adapters),
    )
    return InstanceRequested(
        instance_id=instance_id,
        deployment_id=deployment_id,
        name=f"{name}-{instance_id}",
        deployment_name=name,
        cluster_id=1,
        spec=spec,
        spec_seq=1,
    )


def scheduled(instance_id: int, devices: int) -> InstanceScheduled:
    return InstanceScheduled(
        instance_id=instance_id,
        deployment_id=1,
        worker_id=1,
        worker_name="w",
        claim=Claim(vram_bytes={f"cuda:{n}": 1 for n in range(devices)}),
        decision=Decision(policy="spread/1", decided_at_seq=1),
    )


def starting(
    instance_id: int, attempt: int = 0, backend: str | None = None, command: tuple[str, ...] = ("x",)
) -> InstanceStarting:
    return InstanceStarting(
        instance_id=instance_id,
        deployment_id=1,
        worker_id=1,
        attempt=attempt,
        pid=1,
        command=command,
        backend=backend,
    )


def failed(instance_id: int, attempt: int = 0) -> InstanceFailed:
    return InstanceFailed(
        instance_id=instance_id,
        deployment_id=1,
        worker_id=1,
        attempt=attempt,
        cause=FailureCause.CRASHED,
        message="it crashed",
    )


def stopped(instance_id: int, attempt: int = 0) -> InstanceStopped:
    return InstanceStopped(instance_id=instance_id, deployment_id=1, worker_id=1, attempt=attempt)


def stopping(instance_id: int) -> InstanceStopping:
    return InstanceStopping(instance_id=instance_id, deployment_id=1, reason="scale_down")


def removed(instance_id: int) -> InstanceRemoved:
    return InstanceRemoved(instance_id=instance_id, deployment_id=1, reason="worker_lost")


def silent(worker_id: int) -> WorkerSilent:
    return WorkerSilent(worker_id=worker_id, last_seen=START)


def lost(worker_id: int) -> WorkerLost:
    return WorkerLost(worker_id=worker_id, last_seen=START, grace_s=60)


def created_key(
    key_id: int,
    *,
    user_id: int = 1,
    access_key: str | None = None,
    secret_hash: str | None = None,
    expires_at: datetime | None = None,
    allowed: tuple[str, ...] | None = None,
    scope: tuple[Scope, ...] = EVERY_SCOPE,
    limits: RateLimits = NO_LIMITS,
) -> ApiKeyCreated:
    return ApiKeyCreated(
        key_id=key_id,
        user_id=user_id,
        name=f"key {key_id}",
        access_key=access_key or f"key{key_id}",
        secret_hash=secret_hash or "hash",
        expires_at=expires_at,
        allowed_model_names=allowed,
        scope=scope,
        limits=limits,
    )


def revoked(key_id: int, *, user_id: int = 1) -> ApiKeyRevoked:
    return ApiKeyRevoked(key_id=key_id, user_id=user_id, name=f"key {key_id}")
