"""The keys that are good, as the log says it."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from modelyard_contracts.access import NO_LIMITS, RateLimits, Scope
from modelyard_contracts.events import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyEvent,
    ApiKeyLimitsChanged,
    ApiKeyRevoked,
)

ANONYMOUS = 0
"""In place of the ids of a key and of a user."""


@dataclass(frozen=True, slots=True)
class Key:
    key_id: int
    user_id: int
    access_key: str
    secret_hash: str
    expires_at: datetime | None
    allowed_model_names: frozenset[str] | None
    """None allows every model; an empty set allows none."""
    may_infer: bool = True
    """False for a key that is for management alone."""
    limits: RateLimits | None = None


@dataclass
class Keys:
    by_access_key: dict[str, Key] = field(default_factory=dict)
    _by_id: dict[int, Key] = field(default_factory=dict)
    _ids_of_user: dict[int, set[int]] = field(default_factory=dict)
    deleted_users: set[int] = field(default_factory=set)
    """A key that was made while its user was being deleted must not work."""

    def apply(self, event: ApiKeyEvent) -> None:
        match event:
            case ApiKeyCreated() if event.user_id not in self.deleted_users:
                self.put(_key(event))
            case ApiKeyChanged() if event.key_id in self._by_id:
                self.put(_changed_key(self._by_id[event.key_id], event))
            case ApiKeyLimitsChanged() if event.key_id in self._by_id:
                self.put(replace(self._by_id[event.key_id], limits=_any(event.limits)))
            case ApiKeyRevoked():
                self._drop(event.key_id)
            case _:
                pass

    def rename_model(self, before: str, after: str) -> None:
        """Whoever may call it may call it under its new name."""
        for key in tuple(self._by_id.values()):
            names = key.allowed_model_names
            if names is not None and before in names:
                self.put(replace(key, allowed_model_names=names - {before} | {after}))

    def drop_user(self, user_id: int) -> None:
        self.deleted_users.add(user_id)
        for key_id in tuple(self._ids_of_user.get(user_id, ())):
            self._drop(key_id)

    def put(self, key: Key) -> None:
        self._drop(key.key_id)
        self.by_access_key[key.access_key] = key
        self._by_id[key.key_id] = key
        self._ids_of_user.setdefault(key.user_id, set()).add(key.key_id)

    def _drop(self, key_id: int) -> None:
        key = self._by_id.pop(key_id, None)
        if key is None:
            return
        if self.by_access_key.get(key.access_key) is key:
            del self.by_access_key[key.access_key]
        ids = self._ids_of_user[key.user_id]
        ids.discard(key_id)
        if not ids:
            del self._ids_of_user[key.user_id]


def _key(event: ApiKeyCreated) -> Key:
    names = event.allowed_model_names
    return Key(
        key_id=event.key_id,
        user_id=event.user_id,
        access_key=event.access_key,
        secret_hash=event.secret_hash,
        expires_at=event.expires_at,
        allowed_model_names=None if names is None else frozenset(names),
        may_infer=Scope.INFERENCE in event.scope,
        limits=_any(event.limits),
    )


def _changed_key(key: Key, event: ApiKeyChanged) -> Key:
    if event.models is not None:
        names = event.models.names
        key = replace(key, allowed_model_names=None if names is None else frozenset(names))
    return key if event.scope is None else replace(key, may_infer=Scope.INFERENCE in event.scope)


def _any(limits: RateLimits) -> RateLimits | None:
    return None if limits == NO_LIMITS else limits
