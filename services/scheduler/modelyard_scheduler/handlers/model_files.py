"""Tells the workers what is wanted of the models on their disks."""

from collections.abc import Iterable
from dataclasses import dataclass

from modelyard_scheduler.domain.worker import WorkerPhase
from modelyard_scheduler.handlers.deciding import Decider
from modelyard_scheduler.ports import FileWants


@dataclass(frozen=True, slots=True)
class ModelFileHandler:
    decider: Decider
    wants: FileWants

    async def tell(self, file_ids: Iterable[int]) -> None:
        """Puts what is wanted, and takes back what was answered."""
        for ident in file_ids:
            state = self.decider.picture.model_files.get(ident)
            if state is None:
                continue
            if state.want is not None and self._is_there(state.worker_id):
                await self.wants.put_file(state.want)
            else:
                await self.wants.forget_file(state.worker_id, ident)

    async def tell_all(self) -> None:
        """Compares every want with the picture and mends the differences."""
        await self.decider.feed.catch_up()
        held = {ident: want for (_, ident), want in (await self.wants.read_files()).items()}
        states = self.decider.picture.model_files
        wanted = {
            ident: state.want
            for ident, state in states.items()
            if state.want is not None and self._is_there(state.worker_id)
        }
        await self.tell(ident for ident in held.keys() | wanted if held.get(ident) != wanted.get(ident))

    def _is_there(self, worker_id: int) -> bool:
        worker = self.decider.picture.workers.get(worker_id)
        return worker is not None and worker.phase is not WorkerPhase.DELETED
