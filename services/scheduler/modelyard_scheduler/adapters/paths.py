"""Asks workers about model paths."""

import asyncio
from collections.abc import Collection, Mapping

from modelyard_contracts.messages import PathAnswer, PathQuestion
from modelyard_eventlog.questions import NoAnswer, Questions
from modelyard_placement.demand import PathSaid


class WorkerPaths:
    def __init__(self, questions: Questions, *, timeout_s: float) -> None:
        self._questions = questions
        self._timeout_s = timeout_s

    async def ask(self, path: str, worker_ids: Collection[int]) -> Mapping[int, PathSaid]:
        answers = await asyncio.gather(*(self._ask(path, worker_id) for worker_id in worker_ids))
        return dict(zip(worker_ids, answers, strict=True))

    async def _ask(self, path: str, worker_id: int) -> PathSaid:
        try:
            answer = await self._questions.ask(
                worker_id, "path", PathQuestion(path=path), PathAnswer, timeout_s=self._timeout_s
            )
        except NoAnswer as error:
            return str(error)
        return answer.found or answer.message or False
