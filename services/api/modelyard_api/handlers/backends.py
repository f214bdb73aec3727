"""Carries out what is asked of inference backends."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from modelyard_backends.builtin import BUILT_IN
from modelyard_contracts.backends import InferenceBackend
from modelyard_contracts.base import Aggregate
from modelyard_contracts.commands import BackendFields
from modelyard_contracts.events import NameClaimed, NameReleased
from modelyard_eventlog.log import EventLog, Write
from modelyard_runtime.clock import Now
from modelyard_runtime.secrets import Sealer

from modelyard_api.domain import backend as backends
from modelyard_api.domain.backend import Backend
from modelyard_api.domain.errors import conflict, name_taken, not_found
from modelyard_api.handlers.commanding import Commander, Done, carry_out, check_match, held, load
from modelyard_api.ports import Directory


@dataclass(frozen=True, slots=True)
class BackendHandler:
    log: EventLog
    directory: Directory
    sealer: Sealer
    now: Now

    async def install_built_in(self, by: Commander) -> None:
        """States the built-in backends as this Modelyard has them, where the log says otherwise."""
        for number, definition in enumerate(BUILT_IN.values(), 1):
            own = Commander(by.actor, f"{by.command_id}/{number}", by.traceparent)
            await self._install(number, definition, own)

    async def _install(self, ident: int, definition: InferenceBackend, by: Commander) -> None:
        async def decide() -> Sequence[Write] | Done:
            state = await self._load(ident)
            event = backends.shipped(definition, state, backend_id=ident)
            if event is None:
                return Done(ident=ident, seq=state.seq if state else 0)
            if state is not None:
                return [Write(event, state.seq)]
            name = definition.backend_name
            taken = await held(self.log, Aggregate.BACKEND, name)
            return [
                Write(NameClaimed(kind=Aggregate.BACKEND, name=name, claimed_by=ident), taken.seq),
                Write(event, 0),
            ]

        await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def create(self, command: BackendFields, by: Commander) -> Done:
        ident = 0

        async def decide() -> Sequence[Write] | Done:
            nonlocal ident
            first = backends.created(command, backend_id=0, seal=self.sealer.seal)
            wanted = first.backend.backend_name
            name = await held(self.log, Aggregate.BACKEND, wanted)
            if by.made(name.claimed_in) and name.held_by is not None:
                return Done(ident=name.held_by, seq=name.seq)
            if name.held_by is not None:
                raise name_taken("inference backend", wanted)
            known = max(await self.directory.highest_id(Aggregate.BACKEND), backends.FIRST_OWN_ID - 1)
            ident = max(ident, known) + 1
            return [
                Write(NameClaimed(kind=Aggregate.BACKEND, name=wanted, claimed_by=ident), name.seq),
                Write(first.model_copy(update={"backend_id": ident}), 0),
            ]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def update(self, ident: int, command: BackendFields, by: Commander, if_match: int | None) -> Done:
        async def decide() -> Sequence[Write] | Done:
            state = await self._alive(ident)
            check_match(state.seq, if_match)
            event = backends.decide_update(command, state, seal=self.sealer.seal, same=self.sealer.holds)
            return Done(ident=ident, seq=state.seq) if event is None else [Write(event, state.seq)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def delete(self, ident: int, by: Commander, if_match: int | None) -> Done:
        async def decide() -> Sequence[Write] | Done:
            state = await self._alive(ident)
            check_match(state.seq, if_match)
            event = backends.decide_delete(state)
            users = await self.directory.deployments_on(event.name)
            if users:
                raise conflict(
                    f"{event.name} is the backend of {', '.join(users)}: change or delete those first"
                )
            released = NameReleased(kind=Aggregate.BACKEND, name=event.name, released_by=ident)
            return [Write(event, state.seq), Write(released, None)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def named(self, name: str) -> int:
        """The id of the backend of that name. Raises `Refusal` (404)."""
        state = await held(self.log, Aggregate.BACKEND, name)
        if state.held_by is None:
            raise not_found(f"inference backend {name!r}")
        return state.held_by

    async def _load(self, ident: int) -> Backend | None:
        start: Backend | None = None
        return reduce(backends.evolve, await load(self.log, Aggregate.BACKEND, ident), start)

    async def _alive(self, ident: int) -> Backend:
        state = await self._load(ident)
        if state is None or state.deleted:
            raise not_found(f"inference backend {ident}")
        return state
