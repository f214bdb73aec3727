"""Carries out what is asked of providers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import NameClaimed, NameReleased
from modelyard_contracts.routing import ProviderCreate, ProviderUpdate
from modelyard_eventlog.log import EventLog, Write
from modelyard_runtime.clock import Now
from modelyard_runtime.secrets import Sealer

from modelyard_api.domain import provider as providers
from modelyard_api.domain.errors import conflict, name_taken, not_found
from modelyard_api.domain.provider import Provider
from modelyard_api.handlers.commanding import Commander, Done, carry_out, check_match, held, load, renamed
from modelyard_api.ports import Directory


@dataclass(frozen=True, slots=True)
class ProviderHandler:
    log: EventLog
    directory: Directory
    sealer: Sealer
    now: Now

    async def create(self, command: ProviderCreate, by: Commander) -> Done:
        ident = 0

        async def decide() -> Sequence[Write] | Done:
            nonlocal ident
            name = await held(self.log, Aggregate.PROVIDER, command.name)
            if by.made(name.claimed_in) and name.held_by is not None:
                return Done(ident=name.held_by, seq=name.seq)
            if name.held_by is not None:
                raise name_taken("model provider", command.name)
            ident = max(ident, await self.directory.highest_id(Aggregate.PROVIDER)) + 1
            return [
                Write(NameClaimed(kind=Aggregate.PROVIDER, name=command.name, claimed_by=ident), name.seq),
                Write(providers.created(command, provider_id=ident, seal=self.sealer.seal), 0),
            ]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def update(self, ident: int, command: ProviderUpdate, by: Commander, if_match: int | None) -> Done:
        async def decide() -> Sequence[Write] | Done:
            state = await self._alive(ident)
            changed = providers.decide_update(command, state, seal=self.sealer.seal, same=self.sealer.holds)
            if changed is None:
                return Done(ident=ident, seq=state.seq)
            check_match(state.seq, if_match)
            renaming = await renamed(
                self.log, Aggregate.PROVIDER, "model provider", ident, state.said.name, changed.name
            )
            return [Write(changed, state.seq), *renaming]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def delete(self, ident: int, by: Commander, if_match: int | None) -> Done:
        async def decide() -> Sequence[Write] | Done:
            state = await self._alive(ident)
            check_match(state.seq, if_match)
            users = await self.directory.routes_to(ident)
            if users:
                raise conflict(
                    f"{state.said.name} is a target of the routes {', '.join(users)}: take it out there first"
                )
            released = NameReleased(kind=Aggregate.PROVIDER, name=state.said.name, released_by=ident)
            return [Write(providers.deleted(state), state.seq), Write(released, None)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def _alive(self, ident: int) -> Provider:
        start: Provider | None = None
        state = reduce(providers.evolve, await load(self.log, Aggregate.PROVIDER, ident), start)
        if state is None or state.deleted:
            raise not_found(f"model provider {ident}")
        return state
