"""Looks at models at their sources."""

import asyncio
from collections.abc import Collection

from modelyard_contracts.deployments import Source
from modelyard_contracts.messages import PathAnswer, PathQuestion
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_eventlog.questions import NoAnswer, Questions
from modelyard_models.keeping import kept
from modelyard_models.sources.catalogue import Catalogue
from modelyard_models.sources.errors import SourceError
from modelyard_runtime.secrets import Sealer, Unsealable

from modelyard_scheduler.ports import NotInspected


class ModelSources:
    def __init__(
        self, catalogue: Catalogue, questions: Questions, sealer: Sealer | None, *, path_question_s: float
    ) -> None:
        self._catalogue = catalogue
        self._questions = questions
        self._sealer = sealer
        self._path_question_s = path_question_s

    async def inspect(
        self, coordinates: ModelCoordinates, sealed_token: str | None, worker_ids: Collection[int]
    ) -> ModelFacts:
        token = self._opened(sealed_token)
        try:
            inspection = await self._catalogue.inspect(coordinates, token)
        except SourceError as error:
            if coordinates.source is Source.LOCAL_PATH:
                return await self._of_workers(coordinates, worker_ids, str(error))
            raise NotInspected(str(error)) from error
        return kept(inspection.facts)

    def _opened(self, sealed_token: str | None) -> str | None:
        if sealed_token is None or self._sealer is None:
            return None
        try:
            return self._sealer.unseal(sealed_token)
        except Unsealable as error:
            raise NotInspected(f"the deployment's token for the hub: {error}") from error

    async def _of_workers(
        self, coordinates: ModelCoordinates, worker_ids: Collection[int], here: str
    ) -> ModelFacts:
        """The first good answer counts; the rest are not waited for."""
        asked = [asyncio.create_task(self._ask(worker_id, coordinates.repo)) for worker_id in worker_ids]
        try:
            for answer in asyncio.as_completed(asked):
                said = await answer
                if said is not None and said.facts is not None:
                    return said.facts
        finally:
            for task in asked:
                task.cancel()
        raise NotInspected(f"{here}, nor does any of {len(asked)} workers have it")

    async def _ask(self, worker_id: int, path: str) -> PathAnswer | None:
        question = PathQuestion(path=path)
        try:
            return await self._questions.ask(
                worker_id, "path", question, PathAnswer, timeout_s=self._path_question_s
            )
        except NoAnswer:
            return None
