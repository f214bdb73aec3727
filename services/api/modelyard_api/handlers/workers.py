"""Carries out what is asked of workers: joining, labels, maintenance, removal."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from modelyard_contracts.base import Aggregate
from modelyard_contracts.commands import WorkerUpdate
from modelyard_contracts.events import NameClaimed, NameReleased, WorkerDeleted, WorkerRegistered
from modelyard_contracts.join import JoinAnswer, JoinRequest
from modelyard_eventlog.log import EventLog, Write
from modelyard_runtime.clock import Now

from modelyard_api.domain import worker as workers
from modelyard_api.domain.errors import conflict, invalid, not_found
from modelyard_api.domain.naming import NameState
from modelyard_api.domain.worker import Worker
from modelyard_api.handlers.commanding import Commander, Done, carry_out, check_match, held, load
from modelyard_api.ports import Directory, WorkerCredentials

MOST_SAME_NAMES = 1000


@dataclass(frozen=True, slots=True)
class WorkerHandler:
    log: EventLog
    directory: Directory
    credentials: WorkerCredentials
    nats_url: str
    secret_key: str
    now: Now

    async def join(self, request: JoinRequest, by: Commander) -> JoinAnswer:
        """The same worker (by uuid and key) gets the same answer, whenever it asks."""
        cluster_id = request.cluster_id or await self.directory.default_cluster_id()
        if cluster_id is None:
            raise invalid("cluster_id: there is no default cluster, name one")
        ident = 0
        name = request.name

        async def decide() -> Sequence[Write] | Done:
            nonlocal ident, name
            machine = await held(self.log, Aggregate.WORKER, request.worker_uuid)
            if machine.held_by is not None:
                known = await self._same_machine(machine.held_by, request)
                name = known.name
                return Done(ident=known.worker_id, seq=known.seq)
            name, free = await self._free_name(request.name)
            ident = max(ident, await self.directory.highest_id(Aggregate.WORKER)) + 1
            registered = WorkerRegistered(
                worker_id=ident,
                name=name,
                worker_uuid=request.worker_uuid,
                public_key=request.public_key,
                cluster_id=cluster_id,
                hostname=request.hostname,
                labels=request.labels,
            )
            return [
                Write(
                    NameClaimed(kind=Aggregate.WORKER, name=request.worker_uuid, claimed_by=ident),
                    machine.seq,
                ),
                Write(NameClaimed(kind=Aggregate.WORKER, name=name, claimed_by=ident), free.seq),
                Write(registered, 0),
            ]

        done = await carry_out(self.log, decide, lambda: ident, by, self.now)
        minted = self.credentials.mint(request.public_key, done.ident)
        return JoinAnswer(
            worker_id=done.ident,
            name=name,
            nats_url=self.nats_url,
            nats_jwt=minted[0] if minted else None,
            nats_jwt_expires_at=minted[1] if minted else None,
            secret_key=self.secret_key,
        )

    async def update(self, ident: int, command: WorkerUpdate, by: Commander, if_match: int | None) -> Done:
        async def decide() -> Sequence[Write] | Done:
            state = await self._alive(ident)
            check_match(state.seq, if_match)
            events = workers.decide_update(command, state)
            if not events:
                return Done(ident=ident, seq=state.seq)
            return [Write(event, None if number else state.seq) for number, event in enumerate(events)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def delete(self, ident: int, by: Commander) -> Done:
        async def decide() -> Sequence[Write] | Done:
            state = await self._alive(ident)
            return [
                Write(WorkerDeleted(worker_id=ident, name=state.name), state.seq),
                Write(NameReleased(kind=Aggregate.WORKER, name=state.name, released_by=ident), None),
                Write(NameReleased(kind=Aggregate.WORKER, name=state.worker_uuid, released_by=ident), None),
            ]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def _alive(self, ident: int) -> Worker:
        start: Worker | None = None
        state = reduce(workers.evolve, await load(self.log, Aggregate.WORKER, ident), start)
        if state is None or state.deleted:
            raise not_found(f"worker {ident}")
        return state

    async def _same_machine(self, ident: int, request: JoinRequest) -> Worker:
        state = await self._alive(ident)
        if state.public_key != request.public_key:
            raise conflict(
                f"worker_uuid: {request.worker_uuid} is worker {state.name!r}, which joined with "
                "another key; delete that worker first if this machine replaces it"
            )
        return state

    async def _free_name(self, wanted: str) -> tuple[str, NameState]:
        for number in range(MOST_SAME_NAMES):
            name = workers.free_name(wanted, number)
            state = await held(self.log, Aggregate.WORKER, name)
            if state.held_by is None:
                return name, state
        raise conflict(f"name: {MOST_SAME_NAMES} workers are called {wanted!r} already")
