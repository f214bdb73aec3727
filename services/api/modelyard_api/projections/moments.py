"""Workers, instances and model files as the api shows them, now or at a moment that is past."""

from collections import OrderedDict
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
FEWEST = 20_000
PARTS = 8
"""What is folded at once is kept at so many positions on the way, no fewer than `FEWEST` events apart."""
KEPT = 2 * PARTS


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


async def workers(db: Database) -> list[View]:
    """As they are now. Raises `DatabaseUnavailable`."""
    return list((await lists.read(db, BY_RESOURCE["workers"], EVERYTHING)).views)


class Past:
    """Moments that are past. To come to one, the archive is folded, and what it came to on the way is kept at
    some positions: later ones are folded from the nearest before them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Picture] = OrderedDict()
        """By position, the one that was used last at the end. They share the rows that are the same."""

    async def at(self, db: Database, time: datetime) -> Moment:
        """The archived log folded up to its last event that was no later. Raises `DatabaseUnavailable`."""
        columns = archive.TABLE.c
        async with db.asking() as connection:
            upto = await connection.scalar(select(func.max(columns.seq)).where(columns.time <= time)) or 0
        picture, seq = self._nearest(upto)
        distance = max(FEWEST, upto // PARTS)
        due = seq + distance
        async for events in archive.recorded(db, seq, upto):
            for event in events:
                picture.fold(event)
            if events[-1].seq >= due:
                self._keep(events[-1].seq, picture)
                due += distance
        if upto - seq >= FEWEST:
            self._keep(upto, picture)
        return Moment(upto, *(picture.views(BY_RESOURCE[name]) for name in RESOURCES))

    def _nearest(self, upto: int) -> tuple[Picture, int]:
        """What may be folded further, and where it ends."""
        seq = max((seq for seq in self._kept if seq <= upto), default=0)
        if not seq:
            return Picture(as_it_is), 0
        self._kept.move_to_end(seq)
        return self._kept[seq].copy(), seq

    def _keep(self, seq: int, picture: Picture) -> None:
        self._kept[seq] = picture.copy()
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def as_it_is(env: dict[str, str]) -> dict[str, str]:
    return env
