"""Carries out what is asked of models on workers' disks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from modelyard_contracts.base import Aggregate
from modelyard_contracts.commands import ModelFileCreate
from modelyard_contracts.events import (
    ModelFileDeletionRequested,
    ModelFileRequested,
    WorkerDeleted,
    model_file_id,
)
from modelyard_eventlog.log import AnyRecorded, EventLog, Write
from modelyard_runtime.clock import Now

from modelyard_api.domain import model_file
from modelyard_api.domain.errors import conflict, invalid, not_found
from modelyard_api.domain.model_file import ModelFile
from modelyard_api.handlers.commanding import Commander, Done, carry_out, load
from modelyard_api.ports import Directory


@dataclass(frozen=True, slots=True)
class ModelFileHandler:
    log: EventLog
    directory: Directory
    now: Now

    async def request(self, command: ModelFileCreate, by: Commander) -> Done:
        """Prefetches a model to a worker."""
        model = model_file.coordinates(command)
        ident = model_file_id(command.worker_id, model.model_id())

        async def decide() -> Sequence[Write] | Done:
            worker = await load(self.log, Aggregate.WORKER, command.worker_id)
            if not worker or isinstance(worker[-1].data, WorkerDeleted):
                raise invalid(f"worker_id: there is no worker {command.worker_id}")
            events = await load(self.log, Aggregate.MODEL_FILE, ident)
            if events and by.made(events[-1].id):
                return Done(ident=ident, seq=events[-1].seq)
            wish = model_file.decide_request(command.worker_id, model, _fold(events))
            return [Write(wish, events[-1].seq if events else 0)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def reset(self, ident: int, by: Commander) -> Done:
        """Tries a download again."""

        async def decide() -> Sequence[Write] | Done:
            state = await self._known(ident)
            return [Write(ModelFileRequested(worker_id=state.worker_id, model=state.model), state.seq)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def delete(self, ident: int, by: Commander, *, cleanup: bool) -> Done:
        async def decide() -> Sequence[Write] | Done:
            state = await self._known(ident)
            if state.deletion_requested:
                return Done(ident=ident, seq=state.seq)
            users = await self.directory.instances_with(state.worker_id, state.model)
            if users:
                raise conflict(
                    f"{state.model.location()} is used by {', '.join(users)} on its worker: "
                    "delete or scale down those first"
                )
            wish = ModelFileDeletionRequested(worker_id=state.worker_id, model=state.model, cleanup=cleanup)
            return [Write(wish, state.seq)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)

    async def _known(self, ident: int) -> ModelFile:
        state = _fold(await load(self.log, Aggregate.MODEL_FILE, ident))
        if state is None or state.gone:
            raise not_found(f"model file {ident}")
        return state


def _fold(events: Sequence[AnyRecorded]) -> ModelFile | None:
    start: ModelFile | None = None
    return reduce(model_file.evolve, events, start)
