"""Carries out what is asked of users, API keys and clusters, and makes the first admin."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from modelyard_contracts.base import Aggregate, Event
from modelyard_contracts.commands import (
    ApiKeyCreate,
    ApiKeyUpdate,
    ClusterCreate,
    HubTokenChange,
    PasswordChange,
    UserCreate,
)
from modelyard_contracts.deployments import Source
from modelyard_contracts.envelope import Recorded
from modelyard_contracts.events import (
    AllowedModels,
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyRevoked,
    ClusterCreated,
    NameClaimed,
    NameReleased,
    UserCreated,
    UserDeleted,
    UserHubTokenChanged,
    UserPasswordChanged,
    name_id,
)
from modelyard_eventlog.log import EventLog, Write
from modelyard_runtime import keys
from modelyard_runtime.clock import Now
from modelyard_runtime.secrets import Sealer

from modelyard_api.domain.errors import conflict, forbidden, name_taken, not_found
from modelyard_api.handlers.commanding import Commander, Done, carry_out, held, load
from modelyard_api.ports import Directory, Passwords

DEFAULT_CLUSTER = "default"
FIRST_ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class AccountHandler:
    log: EventLog
    directory: Directory
    passwords: Passwords
    sealer: Sealer
    now: Now

    async def create_user(self, command: UserCreate, by: Commander) -> Done:
        password_hash = await self.passwords.hash(command.password)

        def event(ident: int) -> Event:
            return UserCreated(
                user_id=ident,
                username=command.username,
                full_name=command.full_name,
                is_admin=command.is_admin,
                password_hash=password_hash,
            )

        return await self._create_named(Aggregate.USER, command.username, event, by)

    async def create_cluster(
        self, command: ClusterCreate, by: Commander, *, is_default: bool = False
    ) -> Done:
        def event(ident: int) -> Event:
            return ClusterCreated(
                cluster_id=ident, name=command.name, description=command.description, is_default=is_default
            )

        return await self._create_named(Aggregate.CLUSTER, command.name, event, by)

    async def change_password(self, user_id: int, command: PasswordChange, by: Commander) -> Done:
        user, seq = await self._user(user_id)
        if not await self.passwords.verify(command.current_password, user):
            raise forbidden("current_password: is not right")
        changed = UserPasswordChanged(
            user_id=user_id, password_hash=await self.passwords.hash(command.new_password)
        )

        async def decide() -> Sequence[Write] | Done:
            return [Write(changed, seq)]

        return await carry_out(self.log, decide, lambda: user_id, by, self.now)

    async def set_hub_token(self, user_id: int, hub: Source, command: HubTokenChange, by: Commander) -> Done:
        return await self._change_hub_token(user_id, hub, self.sealer.seal(command.token), by)

    async def delete_hub_token(self, user_id: int, hub: Source, by: Commander) -> Done:
        return await self._change_hub_token(user_id, hub, None, by)

    async def delete_user(self, user_id: int, by: Commander) -> Done:
        if by.actor == f"user/{user_id}":
            raise conflict("you cannot delete the account you are using")

        async def decide() -> Sequence[Write] | Done:
            events = await self._alive(user_id)
            name = events[0].data.username
            return [
                Write(UserDeleted(user_id=user_id, username=name), events[-1].seq),
                Write(NameReleased(kind=Aggregate.USER, name=name, released_by=user_id), None),
            ]

        return await carry_out(self.log, decide, lambda: user_id, by, self.now)

    async def create_key(
        self, user_id: int, command: ApiKeyCreate, by: Commander
    ) -> tuple[Done, keys.ApiKey]:
        """The key itself is in nobody's keeping but the caller's: a repeated command cannot show it again."""
        key = keys.generate()
        expires_at = self.now() + timedelta(seconds=command.expires_in) if command.expires_in else None
        ident = 0

        async def decide() -> Sequence[Write] | Done:
            nonlocal ident
            ident = max(ident, await self.directory.highest_id(Aggregate.API_KEY)) + 1
            allowed = command.allowed_model_names
            created = ApiKeyCreated(
                key_id=ident,
                user_id=user_id,
                name=command.name,
                description=command.description,
                access_key=key.access_key,
                secret_hash=keys.hash_secret(key),
                expires_at=expires_at,
                allowed_model_names=None if allowed is None else tuple(allowed),
                scope=command.scope,
                limits=command.limits,
            )
            return [Write(created, 0)]

        done = await carry_out(self.log, decide, lambda: ident, by, self.now)
        kept = await load(self.log, Aggregate.API_KEY, ident)
        if not kept or kept[0].data.access_key != key.access_key:
            raise conflict("this Idempotency-Key made an API key before, whose secret was shown then")
        return done, key

    async def update_key(
        self, key_id: int, command: ApiKeyUpdate, by: Commander, *, user_id: int | None
    ) -> Done:
        """`user_id` limits it to that user's own keys."""
        said = command.model_fields_set
        names = command.allowed_model_names
        models = AllowedModels(names=None if names is None else tuple(names))

        async def decide() -> Sequence[Write] | Done:
            events = await self._key(key_id, user_id)
            changed = ApiKeyChanged(
                key_id=key_id,
                user_id=events[0].data.user_id,
                description=command.description if "description" in said else None,
                models=models if "allowed_model_names" in said else None,
                scope=command.scope if "scope" in said else None,
            )
            return [Write(changed, events[-1].seq)] if said else Done(ident=key_id, seq=events[-1].seq)

        return await carry_out(self.log, decide, lambda: key_id, by, self.now)

    async def revoke_key(self, key_id: int, by: Commander, *, user_id: int | None) -> Done:
        """`user_id` limits it to that user's own keys."""

        async def decide() -> Sequence[Write] | Done:
            events = await self._key(key_id, user_id)
            created = events[0].data
            revoked = ApiKeyRevoked(key_id=key_id, user_id=created.user_id, name=created.name)
            return [Write(revoked, events[-1].seq)]

        return await carry_out(self.log, decide, lambda: key_id, by, self.now)

    async def has_admin(self) -> bool:
        events = await load(self.log, Aggregate.NAME, name_id(Aggregate.USER, FIRST_ADMIN))
        return bool(events)

    async def bootstrap(self, password: str, by: Commander) -> None:
        """Makes the default cluster and the first admin. Raises `Refusal` (409) where another was faster."""
        cluster_name = await held(self.log, Aggregate.CLUSTER, DEFAULT_CLUSTER)
        if cluster_name.held_by is None:
            cluster = Commander(by.actor, f"{by.command_id}-cluster", by.traceparent)
            await self.create_cluster(ClusterCreate(name=DEFAULT_CLUSTER), cluster, is_default=True)
        await self.create_user(UserCreate(username=FIRST_ADMIN, password=password, is_admin=True), by)

    async def _user(self, user_id: int) -> tuple[str, int]:
        """The hash of a user's password, and the sequence of the user's last event."""
        events = await self._alive(user_id)
        hashes = [
            e.data.password_hash for e in events if isinstance(e.data, UserCreated | UserPasswordChanged)
        ]
        return hashes[-1], events[-1].seq

    async def _key(self, key_id: int, user_id: int | None) -> Sequence[Recorded[Any]]:
        """A key that is good; of that user, if one is named."""
        events = await load(self.log, Aggregate.API_KEY, key_id)
        gone = not events or isinstance(events[-1].data, ApiKeyRevoked)
        if gone or (user_id is not None and events[0].data.user_id != user_id):
            raise not_found(f"API key {key_id}")
        return events

    async def _alive(self, user_id: int) -> Sequence[Recorded[Any]]:
        events = await load(self.log, Aggregate.USER, user_id)
        if not events or isinstance(events[-1].data, UserDeleted):
            raise not_found(f"user {user_id}")
        return events

    async def _change_hub_token(self, user_id: int, hub: Source, sealed: str | None, by: Commander) -> Done:
        changed = UserHubTokenChanged(user_id=user_id, hub=hub, sealed_token=sealed)

        def is_of_hub(event: Event) -> bool:
            return isinstance(event, UserHubTokenChanged) and event.hub is hub

        async def decide() -> Sequence[Write] | Done:
            events = await self._alive(user_id)
            kept = [e.data.sealed_token for e in events if is_of_hub(e.data)]
            if sealed is None and (not kept or kept[-1] is None):
                return Done(ident=user_id, seq=events[-1].seq)
            return [Write(changed, events[-1].seq)]

        return await carry_out(self.log, decide, lambda: user_id, by, self.now)

    async def _create_named(
        self, kind: Aggregate, name: str, event: Callable[[int], Event], by: Commander
    ) -> Done:
        ident = 0

        async def decide() -> Sequence[Write] | Done:
            nonlocal ident
            holder = await held(self.log, kind, name)
            if by.made(holder.claimed_in) and holder.held_by is not None:
                return Done(ident=holder.held_by, seq=holder.seq)
            if holder.held_by is not None:
                raise name_taken(kind.value, name)
            ident = max(ident, await self.directory.highest_id(kind)) + 1
            return [
                Write(NameClaimed(kind=kind, name=name, claimed_by=ident), holder.seq),
                Write(event(ident), 0),
            ]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)
