"""What may be asked of a deployment, and what becomes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from modelyard_contracts.commands import DeploymentCreate, DeploymentUpdate, check_source
from modelyard_contracts.deployments import HUB_TOKEN_VARIABLES, DeploymentSpec, Source
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    DeploymentDeleted,
    DeploymentEvent,
    DeploymentRequested,
    DeploymentScaled,
    DeploymentUpdated,
)

from modelyard_api.domain.errors import invalid

Seal = Callable[[str], str]
MASK = "********"
HubTokens = Mapping[Source, str]
"""A user's own, sealed."""
NO_TOKENS: HubTokens = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Deployment:
    deployment_id: int
    name: str
    cluster_id: int
    replicas: int
    spec: DeploymentSpec
    deleted: bool
    seq: int


def evolve(state: Deployment | None, event: Recorded[Any]) -> Deployment | None:
    match event.data:
        case DeploymentRequested() as data:
            return Deployment(
                deployment_id=data.deployment_id,
                name=data.name,
                cluster_id=data.cluster_id,
                replicas=data.replicas,
                spec=data.spec,
                deleted=False,
                seq=event.seq,
            )
        case DeploymentUpdated() as data if state:
            return replace(state, name=data.name, spec=data.spec, seq=event.seq)
        case DeploymentScaled() as data if state:
            return replace(state, replicas=data.replicas, seq=event.seq)
        case DeploymentDeleted() if state:
            return replace(state, deleted=True, seq=event.seq)
        case _:
            return state


def requested(
    command: DeploymentCreate,
    *,
    deployment_id: int,
    cluster_id: int,
    seal: Seal,
    hub_tokens: HubTokens = NO_TOKENS,
) -> DeploymentRequested:
    said = _said(command)
    env = seal_env(command.env or {}, {}, seal)
    return DeploymentRequested(
        deployment_id=deployment_id,
        name=command.name,
        cluster_id=cluster_id,
        replicas=1 if command.replicas is None else command.replicas,
        spec=with_hub_token(DeploymentSpec.model_validate({**said, "env": env}), hub_tokens),
    )


def decide_update(
    command: DeploymentUpdate,
    state: Deployment,
    *,
    seal: Seal,
    same: Callable[[str, str], bool],
    hub_tokens: HubTokens = NO_TOKENS,
) -> list[DeploymentEvent]:
    """Raises `Refusal`. `same(sealed, clear)` says whether a sealed value holds that text, so that an
    unchanged environment is no change. Who only scales or renames leaves no token behind."""
    events: list[DeploymentEvent] = []
    if command.replicas is not None and command.replicas != state.replicas:
        events.append(
            DeploymentScaled(
                deployment_id=state.deployment_id, replicas=command.replicas, previous_replicas=state.replicas
            )
        )
    name = command.name or state.name
    spec = _updated_spec(command, state.spec, seal, same)
    if command.model_fields_set & set(DeploymentSpec.model_fields):
        spec = with_hub_token(spec, hub_tokens)
    if spec != state.spec or name != state.name:
        events.append(DeploymentUpdated(deployment_id=state.deployment_id, name=name, spec=spec))
    return events


def with_hub_token(spec: DeploymentSpec, hub_tokens: HubTokens) -> DeploymentSpec:
    """A model of a hub comes with its operator's token there, unless the environment names one."""
    sealed = hub_tokens.get(spec.source)
    if sealed is None or HUB_TOKEN_VARIABLES[spec.source] in spec.env:
        return spec
    return spec.model_copy(update={"env": {**spec.env, HUB_TOKEN_VARIABLES[spec.source]: sealed}})


def decide_delete(state: Deployment) -> DeploymentDeleted:
    return DeploymentDeleted(deployment_id=state.deployment_id, name=state.name)


def _said(command: DeploymentCreate | DeploymentUpdate) -> dict[str, Any]:
    """The fields of the spec that the command names. Null stands for the field's default."""
    names = set(DeploymentSpec.model_fields) - {"env"}
    return {
        field: getattr(command, field)
        for field in command.model_fields_set & names
        if getattr(command, field) is not None
    }


def _updated_spec(
    command: DeploymentUpdate, spec: DeploymentSpec, seal: Seal, same: Callable[[str, str], bool]
) -> DeploymentSpec:
    defaults = {
        field: DeploymentSpec.model_fields[field].get_default()
        for field in command.model_fields_set & set(DeploymentSpec.model_fields)
        if not DeploymentSpec.model_fields[field].is_required()
    }
    env = spec.env
    if "env" in command.model_fields_set:
        kept = {
            key: spec.env[key]
            for key, value in (command.env or {}).items()
            if key in spec.env and value != MASK and same(spec.env[key], value)
        }
        env = {**seal_env(command.env or {}, spec.env, seal), **kept}
    updated = DeploymentSpec.model_validate({**dict(spec), **defaults, **_said(command), "env": env})
    try:
        check_source(
            updated.source, updated.local_path, updated.huggingface_repo_id, updated.model_scope_model_id
        )
    except ValueError as error:
        raise invalid(str(error)) from error
    return updated


def seal_env(env: Mapping[str, str], known: Mapping[str, str], seal: Seal) -> dict[str, str]:
    """`env` sealed. A masked value stands for the one we have; raises `Refusal` if we have none."""
    sealed: dict[str, str] = {}
    for name, value in env.items():
        if value != MASK:
            sealed[name] = seal(value)
        elif name in known:
            sealed[name] = known[name]
        else:
            raise invalid(f"env: {name} is masked, but there is no earlier value to keep")
    return sealed
