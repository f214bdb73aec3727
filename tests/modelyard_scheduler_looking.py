"""Models that the scheduler's handlers really look at: on this machine, or at a local hub."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from modelyard_eventlog.questions import Questions
from modelyard_models.sources.catalogue import Catalogue
from modelyard_models_hub import settings_for
from modelyard_scheduler.adapters.models import ModelSources
from modelyard_scheduler.handlers.inspection import InspectionHandler
from modelyard_scheduler.subscribers.reacting import Scheduler
from nats.aio.client import Client


@contextmanager
def sources(directory: Path, url: str = "http://127.0.0.1:9") -> Iterator[ModelSources]:
    catalogue = Catalogue(settings_for(url, directory))
    yield ModelSources(catalogue, Questions(Client()), None, path_question_s=1)
    catalogue.close()


async def looked_at(handler: InspectionHandler) -> None:
    await asyncio.gather(*handler.running.values())


async def place(scheduler: Scheduler, handler: InspectionHandler, *instance_ids: int) -> None:
    await replace(scheduler.placement, inspections=handler).place(instance_ids)
