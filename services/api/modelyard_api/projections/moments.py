"""Workers, instances and model files as the api shows them, now or at a moment that is past."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from modelyard_api.adapters.database import Database
from modelyard_api.projections import archive, lists
from modelyard_api.projections.folding import BY_RESOURCE, Picture
from modelyard_api.projections.lists import Listing
from modelyard_api.projections.rows import View

RESOURCES = ("workers", "model-instances", "clusters", "model-files")
EVERYTHING = Listing((), (("id", False),), 0, 1)


@dataclass(frozen=True, slots=True)
class Moment:
    seq: int
    """The position of the log that it is of."""
    workers: list[View]
    instances: list[View]
    clusters: list[View]
    model_files: list[View]


async def now(db: Database) -> Moment:
    """Raises `DatabaseUnavailable`."""
    pages = [await lists.read(db, BY_RESOURCE[name], EVERYTHING) for name in RESOURCES]
    return Moment(min(page.seq for page in pages), *(list(page.views) for page in pages))


async def at(db: Database, time: datetime) -> Moment:
    """The archived log folded up to its last event that was no later. Raises `DatabaseUnavailable`."""
    columns = archive.TABLE.c
    async with db.asking() as connection:
        upto = await connection.scalar(select(func.max(columns.seq)).where(columns.time <= time)) or 0
    picture = Picture(lambda env: env)
    async for events in archive.recorded(db, 0, upto):
        for event in events:
            picture.fold(event)
    return Moment(upto, *(picture.views(BY_RESOURCE[name]) for name in RESOURCES))
