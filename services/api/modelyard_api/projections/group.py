"""Runs one group of read models: one writer anywhere, batch after batch, one transaction each."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Protocol

import structlog
from modelyard_contracts.envelope import UnknownEventType
from modelyard_eventlog.log import AnyRecorded, EventLog, LogPosition, LogUnavailable
from modelyard_eventlog.reader import Gap
from sqlalchemy import Table

from modelyard_api.adapters.database import Database, DatabaseUnavailable
from modelyard_api.projections import checkpoints
from modelyard_api.projections.checkpoints import Checkpoint, Overtaken, lock_key
from modelyard_api.projections.schema import make_tables

logger = structlog.stdlib.get_logger()

RETRY_S = 0.25
STAND_BY_S = 1.0


class Halted(Exception):
    """Going on would make the read models wrong; somebody has to look."""


class Sink(Protocol):
    """Where a group's events go. One transaction per `write`, the checkpoint in it."""

    name: str
    version: int

    tables: list[Table]

    async def start_over(self, connection: Any, reason: str, *, remake: bool) -> None:
        """Inside a transaction: what is there does not fit. `remake` if its tables have another shape.
        Raises `Halted` if starting over is not for a program to do."""
        ...

    async def load(self, connection: Any, checkpoint: Checkpoint, last_seq: int) -> None:
        """What must be in memory to go on from this checkpoint to the log's present end."""
        ...

    async def write(self, connection: Any, events: list[AnyRecorded], old: Checkpoint) -> Checkpoint:
        """The new checkpoint; `old` itself if the events are held back for one larger write."""
        ...


Archived = Callable[[int, LogPosition], AsyncIterator[list[AnyRecorded]]]
"""Events beyond a sequence from another place than the log, as far as that is worth while and sound."""


class Group:
    """With `archived`, a backlog is read from there first: that is many times faster than from the log."""

    def __init__(
        self,
        log: EventLog,
        db: Database,
        sink: Sink,
        moved: Callable[[int], None],
        archived: Archived | None = None,
    ) -> None:
        self._archived = archived
        self._log = log
        self._db = db
        self._sink = sink
        self._moved = moved
        self.problem: str | None = None
        self.writing = False
        """True in the one process that projects."""

    async def run(self) -> None:
        while True:
            try:
                await self._lead()
            except (DatabaseUnavailable, LogUnavailable, Overtaken) as error:
                self._note(str(error))
                await asyncio.sleep(RETRY_S)
            except (UnknownEventType, Gap, Halted) as error:
                self.problem = f"{self._sink.name.replace('_', ' ')} halted: {error}"
                logger.error("projection halted", group=self._sink.name, error=str(error))
                return
            finally:
                self.writing = False

    def _note(self, problem: str) -> None:
        if self.problem is None:
            logger.warning("projection waits", group=self._sink.name, error=problem)
        self.problem = f"{self._sink.name.replace('_', ' ')}: {problem}"

    async def _lead(self) -> None:
        """Goes on for as long as this process holds the lock and everything answers."""
        async with self._db.session() as connection:
            await connection.execute("SET synchronous_commit = off")  # a lost write is projected again
            lock = lock_key(self._sink.name)
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock):
                self.problem = None
                await asyncio.sleep(STAND_BY_S)
            checkpoint = await self._prepare(connection)
            self.writing = True
            self.problem = None
            self._moved(checkpoint.seq)
            read_seq = checkpoint.seq
            async for events in self._events(checkpoint.seq):
                _check_order(events, read_seq)
                read_seq = events[-1].seq
                checkpoint = await self._sink.write(connection, events, checkpoint)
                self._moved(checkpoint.seq)

    async def _events(self, after: int) -> AsyncIterator[list[AnyRecorded]]:
        if self._archived is not None:
            async for events in self._archived(after, await self._log.position()):
                yield events
                after = events[-1].seq
        async for events in self._log.follow(after):
            yield events

    async def _prepare(self, connection: Any) -> Checkpoint:
        """The checkpoint to go on from, which fits the log. Starts over where it does not."""
        await make_tables(connection, [checkpoints.TABLE, *self._sink.tables])
        position = await self._log.position()
        found = await checkpoints.read(connection, self._sink.name)
        reason = None
        remake = found is not None and found.schema_version != self._sink.version
        if found is not None and remake:
            reason = f"its tables are of version {found.schema_version}, not {self._sink.version}"
        elif found is not None:
            reason = await checkpoints.mismatch(self._log, position, found)
        if found is None or reason is not None:
            found = replace(checkpoints.fresh(position.created), schema_version=self._sink.version)
            async with connection.transaction():
                if reason is not None:
                    logger.warning("projection starts over", group=self._sink.name, reason=reason)
                    await self._sink.start_over(connection, reason, remake=remake)
                await checkpoints.start(connection, self._sink.name, found)
        await self._sink.load(connection, found, position.last_seq)
        return found


def _check_order(events: list[AnyRecorded], after: int) -> None:
    for expected, event in enumerate(events, after + 1):
        if event.seq != expected:
            raise Halted(f"event {expected} is missing: the log went on with {event.seq}")
