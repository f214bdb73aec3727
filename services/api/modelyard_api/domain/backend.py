"""What may be asked of an inference backend, and what becomes of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from modelyard_contracts.backends import CUSTOM_SUFFIX, BackendVersion, InferenceBackend
from modelyard_contracts.commands import BackendFields
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import InferenceBackendDefined, InferenceBackendDeleted

from modelyard_api.domain.deployment import MASK, Seal, seal_env
from modelyard_api.domain.errors import conflict, invalid

Same = Callable[[str, str], bool]
EDITABLE = frozenset(
    {
        "version_configs",
        "default_version",
        "images",
        "default_backend_param",
        "default_env",
        "common_parameters",
        "enabled",
    }
)
"""What an operator may set of a built-in backend."""
FIRST_OWN_ID = 101
"""Below are those of built-in backends."""


@dataclass(frozen=True, slots=True)
class Backend:
    backend_id: int
    definition: InferenceBackend
    is_built_in: bool
    edited: tuple[str, ...]
    deleted: bool
    seq: int


def evolve(state: Backend | None, event: Recorded[Any]) -> Backend | None:
    match event.data:
        case InferenceBackendDefined() as data:
            return Backend(
                data.backend_id, data.backend, data.is_built_in, data.edited, deleted=False, seq=event.seq
            )
        case InferenceBackendDeleted() if state:
            return replace(state, deleted=True, seq=event.seq)
        case _:
            return state


def created(command: BackendFields, *, backend_id: int, seal: Seal) -> InferenceBackendDefined:
    """Raises `Refusal`."""
    name = command.backend_name
    if name is None:
        raise invalid("backend_name: is required")
    if not name.endswith(CUSTOM_SUFFIX):
        raise invalid(f"backend_name: {name!r} must end in {CUSTOM_SUFFIX!r}: others are built in")
    definition = _with(command, InferenceBackend(backend_name=name), seal, lambda *_: False)
    _check(definition)
    return InferenceBackendDefined(backend_id=backend_id, backend=definition)


def decide_update(
    command: BackendFields, state: Backend, *, seal: Seal, same: Same
) -> InferenceBackendDefined | None:
    """None if nothing changes. Raises `Refusal`. `same(sealed, clear)`: a sealed value holds that text."""
    if command.backend_name not in (None, state.definition.backend_name):
        raise invalid("backend_name: cannot be changed: deployments know the backend by it")
    definition = _with(command, state.definition, seal, same)
    changed = {
        field
        for field in InferenceBackend.model_fields
        if getattr(definition, field) != getattr(state.definition, field)
    }
    if not changed:
        return None
    if state.is_built_in:
        _check_built_in(state, changed, definition)
    _check(definition)
    return InferenceBackendDefined(
        backend_id=state.backend_id,
        backend=definition,
        is_built_in=state.is_built_in,
        edited=tuple(sorted({*state.edited, *changed})) if state.is_built_in else (),
    )


def decide_delete(state: Backend) -> InferenceBackendDeleted:
    """Raises `Refusal`."""
    name = state.definition.backend_name
    if state.is_built_in:
        raise conflict(f"{name} is built in and stays; it can be disabled: PUT enabled=false")
    return InferenceBackendDeleted(backend_id=state.backend_id, name=name)


def shipped(
    definition: InferenceBackend, state: Backend | None, *, backend_id: int
) -> InferenceBackendDefined | None:
    """A built-in backend as this version of Modelyard has it, with what an operator has set since.

    None if the log says so already.
    """
    edited = state.edited if state is not None else ()
    if state is not None:
        kept = {field: getattr(state.definition, field) for field in edited}
        definition = definition.model_copy(update=kept)
        if definition == state.definition and not state.deleted:
            return None
    return InferenceBackendDefined(backend_id=backend_id, backend=definition, is_built_in=True, edited=edited)


def _with(command: BackendFields, before: InferenceBackend, seal: Seal, same: Same) -> InferenceBackend:
    """The definition with the fields that the command names; null stands for the field's default."""
    said: dict[str, Any] = {}
    for field in command.model_fields_set:
        value = getattr(command, field)
        said[field] = InferenceBackend.model_fields[field].get_default() if value is None else value
    if "default_env" in said:
        said["default_env"] = _sealed(said["default_env"], before.default_env, seal, same)
    if "version_configs" in said:
        said["version_configs"] = {
            name: _version(version, before.version_configs.get(name, BackendVersion()), seal, same)
            for name, version in said["version_configs"].items()
        }
    return InferenceBackend.model_validate({**dict(before), **said})


def _version(version: BackendVersion, before: BackendVersion, seal: Seal, same: Same) -> BackendVersion:
    return version.model_copy(update={"env": _sealed(version.env, before.env, seal, same)})


def _sealed(env: dict[str, str], before: dict[str, str], seal: Seal, same: Same) -> dict[str, str]:
    """A value that is what it was stays sealed as it is, so that no change is none."""
    kept = {
        name: before[name]
        for name, value in env.items()
        if name in before and value != MASK and same(before[name], value)
    }
    return {**seal_env(env, before, seal), **kept}


def _check_built_in(state: Backend, changed: set[str], definition: InferenceBackend) -> None:
    for field in sorted(changed - EDITABLE):
        raise invalid(
            f"{field}: of a built-in backend only {', '.join(sorted(EDITABLE))} can be set; "
            "define one of your own for more"
        )
    for version in definition.version_configs:
        if version not in state.definition.version_configs and not version.endswith(CUSTOM_SUFFIX):
            raise invalid(f"version_configs: {version!r} of a built-in backend must end in {CUSTOM_SUFFIX!r}")


def _check(definition: InferenceBackend) -> None:
    versions, default = definition.version_configs, definition.default_version
    if versions and default is not None and default not in versions and not definition.images:
        raise invalid(f"default_version: {default!r} is none of {', '.join(versions)}")
