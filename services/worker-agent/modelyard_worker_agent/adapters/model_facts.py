"""States what becomes of the models on this machine."""

from pathlib import Path

from modelyard_contracts.events import (
    ModelFileDeleted,
    ModelFileDownloaded,
    ModelFileDownloading,
    ModelFileEvent,
    ModelFileEvicted,
    ModelFileFailed,
)
from modelyard_contracts.models import ModelCoordinates
from modelyard_runtime.clock import new_id

from modelyard_worker_agent.adapters.outbox import Outbox
from modelyard_worker_agent.domain.fetching import FetchPlan


class ModelFacts:
    """Fulfils `ports.ModelNews`."""

    def __init__(self, outbox: Outbox, worker_id: int) -> None:
        self._outbox = outbox
        self._worker_id = worker_id

    def downloading(self, model: ModelCoordinates, plan: FetchPlan) -> None:
        self._say(
            ModelFileDownloading(
                worker_id=self._worker_id,
                model=model,
                revision=plan.revision,
                size_bytes=plan.total_bytes(),
            )
        )

    def downloaded(self, model: ModelCoordinates, plan: FetchPlan, served: Path) -> None:
        self._say(
            ModelFileDownloaded(
                worker_id=self._worker_id,
                model=model,
                revision=plan.revision,
                size_bytes=plan.total_bytes(),
                path=str(served),
            )
        )

    def failed(self, model: ModelCoordinates, why: str) -> None:
        self._say(ModelFileFailed(worker_id=self._worker_id, model=model, message=why))

    def evicted(self, model: ModelCoordinates, to_make_room_for: ModelCoordinates) -> None:
        made_room_for = to_make_room_for.location()
        self._say(ModelFileEvicted(worker_id=self._worker_id, model=model, made_room_for=made_room_for))

    def deleted(self, model: ModelCoordinates) -> None:
        self._say(ModelFileDeleted(worker_id=self._worker_id, model=model))

    def _say(self, event: ModelFileEvent) -> None:
        kind = type(event).__name__
        self._outbox.say_of_worker(event, ident=f"obs/{self._worker_id}/{kind}/{new_id()}")
