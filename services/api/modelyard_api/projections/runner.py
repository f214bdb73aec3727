"""The projections of one process: it projects where no other does, and always knows how far it got."""

import asyncio
from functools import partial

import structlog
from modelyard_eventlog.log import EventLog

from modelyard_api.adapters.database import Database
from modelyard_api.projections import archive, changes, history
from modelyard_api.projections.archive import ArchiveSink
from modelyard_api.projections.changes import Change
from modelyard_api.projections.group import Group
from modelyard_api.projections.history import Archived
from modelyard_api.projections.positions import Listener, Position
from modelyard_api.projections.read_models import ReadModelSink
from modelyard_api.projections.rows import MaskEnv
from modelyard_api.projections.tails import Tail

logger = structlog.stdlib.get_logger()


class Projections:
    def __init__(
        self,
        log: EventLog,
        db: Database,
        mask_env: MaskEnv,
        *,
        keep_changes: int = 200_000,
        far_behind: int = 20_000,
    ) -> None:
        """`keep_changes`: events whose changes watchers may resume from. `far_behind`: events that are
        folded in memory and written at once rather than batch by batch."""
        rows, events = Position(), Position()
        self._rows, self._events = rows, events
        self._groups = [
            Group(
                log,
                db,
                ReadModelSink(mask_env, keep_changes, far_behind),
                rows.set,
                partial(archive.trusted, db, log, far_behind),
            ),
            Group(log, db, ArchiveSink(), events.set),
        ]
        self._listener = Listener(db, {changes.GROUP: rows, archive.NAME: events})
        self.changes: Tail[Change] = Tail(rows, lambda after, upto: changes.between(db, after, upto))
        self.history: Tail[Archived] = Tail(events, lambda after, upto: history.between(db, after, upto))
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns at once; whatever is away is waited for in the background."""
        runs = [group.run for group in self._groups]
        runs += [self._listener.run, self.changes.run, self.history.run]
        self._tasks = [asyncio.create_task(run()) for run in runs]
        for task in self._tasks:
            task.add_done_callback(_say_why)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def wait_for(self, seq: int, timeout_s: float) -> bool:
        """True as soon as the read models contain the event at `seq`."""
        return await self._rows.wait_for(seq, timeout_s)

    async def wait_for_archive(self, seq: int, timeout_s: float) -> bool:
        return await self._events.wait_for(seq, timeout_s)

    def position(self) -> int:
        """The last event in the read models."""
        return self._rows.seq

    def archived(self) -> int:
        """The last event in the archive."""
        return self._events.seq

    def problem(self) -> str | None:
        """What keeps the projections from following the log, in one sentence."""
        problems = (self._groups[0].problem, self._groups[1].problem, self._listener.problem)
        if (problem := next((problem for problem in problems if problem), None)) is not None:
            return problem
        broken = next((task for task in self._tasks if task.done() and not task.cancelled()), None)
        return None if broken is None else f"a projection task ended: {broken.exception()}"


def _say_why(task: asyncio.Task[None]) -> None:
    """A task that ended by a fault of ours; `problem` shows it in readiness."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("a projection task ended", exc_info=error)
