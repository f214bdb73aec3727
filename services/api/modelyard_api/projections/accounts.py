"""Users and API keys as `/v2/users` and `/v2/api-keys` show them: never a hash, never a secret."""

from modelyard_contracts.access import NO_LIMITS
from modelyard_contracts.base import Aggregate, utc
from modelyard_contracts.events import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyLimitsChanged,
    ApiKeyRevoked,
    UserCreated,
    UserDeleted,
    UserHubTokenChanged,
    UserLimitsChanged,
    UserPasswordChanged,
)
from modelyard_eventlog.log import AnyRecorded
from modelyard_runtime.keys import PREFIX

from modelyard_api.projections.rows import (
    BASE_SORTABLE,
    ReadModel,
    Row,
    View,
    affected,
    changed,
    created,
    removed,
    table_of,
)

USERS = ReadModel(
    resource="users",
    aggregate=Aggregate.USER,
    id_field="user_id",
    columns={"username": "text", "is_admin": "bool"},
    sortable=BASE_SORTABLE | {"username"},
)
USER_TABLE = table_of(USERS)

API_KEYS = ReadModel(
    resource="api-keys",
    aggregate=Aggregate.API_KEY,
    id_field="key_id",
    columns={"name": "text", "user_id": "int", "access_key": "text", "expires_at": "time"},
    sortable=BASE_SORTABLE | {"name", "expires_at"},
)
API_KEY_TABLE = table_of(API_KEYS)


def fold_user(event: AnyRecorded, row: Row | None) -> Row | None:
    data = event.data
    if isinstance(data, UserCreated):
        view = {
            "username": data.username,
            "full_name": data.full_name,
            "is_admin": data.is_admin,
            "limits": NO_LIMITS.model_dump(),
        }
        hidden = {"password_hash": data.password_hash, "password_seq": event.seq}
        return created(event, data.user_id, view, hidden)
    if row is None:
        return None
    if isinstance(data, UserPasswordChanged):
        hidden = {"password_hash": data.password_hash, "password_seq": event.seq}
        return changed(event, row, {}, {**row.hidden, **hidden})
    if isinstance(data, UserHubTokenChanged):
        kept = {**row.hidden.get("hub_tokens", {}), data.hub.value: data.sealed_token}
        tokens = {hub: sealed for hub, sealed in kept.items() if sealed is not None}
        return changed(event, row, {}, {**row.hidden, "hub_tokens": tokens})
    if isinstance(data, UserLimitsChanged):
        return changed(event, row, {"limits": data.limits.model_dump()})
    if isinstance(data, UserDeleted):
        return removed(event, row)
    raise TypeError(f"{event.type} is no event of a user")


def fold_api_key(event: AnyRecorded, row: Row | None) -> Row | None:
    data = event.data
    if isinstance(data, ApiKeyCreated):
        allowed = data.allowed_model_names
        view = {
            "name": data.name,
            "description": data.description,
            "user_id": data.user_id,
            "masked_value": f"{PREFIX}_{data.access_key}_********",
            "expires_at": None if data.expires_at is None else utc(data.expires_at),
            "allowed_model_names": None if allowed is None else list(allowed),
            "scope": [scope.value for scope in data.scope],
            "limits": data.limits.model_dump(),
        }
        hidden = {"access_key": data.access_key, "secret_hash": data.secret_hash}
        return created(event, data.key_id, view, hidden)
    if row is None:
        return None
    if isinstance(data, ApiKeyChanged):
        return changed(event, row, _said(data))
    if isinstance(data, ApiKeyLimitsChanged):
        return changed(event, row, {"limits": data.limits.model_dump()})
    if isinstance(data, ApiKeyRevoked):
        return removed(event, row)
    raise TypeError(f"{event.type} is no event of an API key")


def _said(data: ApiKeyChanged) -> View:
    said: View = {}
    if data.description is not None:
        said["description"] = data.description
    if data.models is not None:
        said["allowed_model_names"] = None if data.models.names is None else list(data.models.names)
    if data.scope is not None:
        said["scope"] = [scope.value for scope in data.scope]
    return said


def with_renamed_route(event: AnyRecorded, key: Row, before: str, after: str) -> Row:
    """A key that may call the route may call it under its new name."""
    names = key.view["allowed_model_names"] or ()
    if before not in names:
        return key
    now = [after if name == before else name for name in names]
    return affected(event, key, {"allowed_model_names": now})
