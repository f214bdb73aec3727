"""Asks the workers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from modelyard_contracts.messages import PathAnswer, PathQuestion
from modelyard_eventlog.questions import NoAnswer, Questions

from modelyard_api.adapters.database import Database
from modelyard_api.ports import WorkerPath
from modelyard_api.projections import queries
from modelyard_api.projections.queries import WorkerRow


class WorkerPaths:
    def __init__(self, db: Database, questions: Questions, *, timeout_s: float) -> None:
        self._db = db
        self._questions = questions
        self._timeout_s = timeout_s

    async def ask_workers(self, path: str) -> Sequence[WorkerPath]:
        workers = await queries.ready_workers(self._db)
        return await asyncio.gather(*(self._ask(worker, path) for worker in workers))

    async def as_answered(self, path: str) -> AsyncGenerator[WorkerPath, None]:
        """Each answer as it comes; who stops early waits for no other."""
        workers = await queries.ready_workers(self._db)
        asking = [asyncio.create_task(self._ask(worker, path)) for worker in workers]
        try:
            for answer in asyncio.as_completed(asking):
                yield await answer
        finally:
            for task in asking:
                task.cancel()

    async def _ask(self, worker: WorkerRow, path: str) -> WorkerPath:
        try:
            answer = await self._questions.ask(
                worker.id, "path", PathQuestion(path=path), PathAnswer, timeout_s=self._timeout_s
            )
        except NoAnswer as error:
            return WorkerPath(worker=worker.name, found=False, answered=False, message=str(error))
        return WorkerPath(
            worker=worker.name,
            found=answer.found,
            answered=True,
            message=answer.message,
            facts=answer.facts,
        )
