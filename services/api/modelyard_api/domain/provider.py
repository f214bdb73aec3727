"""Providers: model servers of others, which targets of routes may name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import ProviderChanged, ProviderCreated, ProviderDeleted
from modelyard_contracts.routing import ProviderCreate, ProviderUpdate

Seal = Callable[[str], str]
Same = Callable[[str, str], bool]
"""Whether a sealed value is that clear one."""


@dataclass(frozen=True, slots=True)
class Provider:
    said: ProviderChanged
    """As it is, in the words of its events."""
    deleted: bool
    seq: int


def evolve(state: Provider | None, event: Recorded[Any]) -> Provider | None:
    match event.data:
        case ProviderCreated() as data:
            said = ProviderChanged(
                provider_id=data.provider_id,
                name=data.name,
                base_url=data.base_url,
                sealed_api_key=data.sealed_api_key,
                description=data.description,
            )
            return Provider(said, deleted=False, seq=event.seq)
        case ProviderChanged() as data:
            return Provider(data, deleted=False, seq=event.seq)
        case ProviderDeleted() if state:
            return Provider(state.said, deleted=True, seq=event.seq)
        case _:
            return state


def created(command: ProviderCreate, *, provider_id: int, seal: Seal) -> ProviderCreated:
    key = command.api_key
    return ProviderCreated(
        provider_id=provider_id,
        name=command.name,
        base_url=command.base_url,
        sealed_api_key=None if key is None else seal(key.get_secret_value()),
        description=command.description,
    )


def decide_update(
    command: ProviderUpdate, state: Provider, *, seal: Seal, same: Same
) -> ProviderChanged | None:
    was = state.said
    sealed = was.sealed_api_key
    if "api_key" in command.model_fields_set:
        clear = None if command.api_key is None else command.api_key.get_secret_value()
        if clear is None:
            sealed = None
        elif sealed is None or not same(sealed, clear):
            sealed = seal(clear)
    changed = was.model_copy(
        update={
            "name": command.name or was.name,
            "base_url": command.base_url or was.base_url,
            "sealed_api_key": sealed,
            "description": (
                command.description if "description" in command.model_fields_set else was.description
            ),
        }
    )
    return None if changed == was else changed


def deleted(state: Provider) -> ProviderDeleted:
    return ProviderDeleted(provider_id=state.said.provider_id, name=state.said.name)
