"""The log and its archive: are they of one piece, and if not, the log put back from the archive."""

from dataclasses import dataclass, replace

import structlog
from modelyard_eventlog.log import LogPosition
from modelyard_eventlog.nats_log import NatsEventLog
from modelyard_eventlog.restoring import RestoreRefused, holes, remove_log, restore
from nats.aio.client import Client

from modelyard_api.adapters.database import Database
from modelyard_api.projections import archive, checkpoints
from modelyard_api.projections.checkpoints import Checkpoint

REPLACE = "to give up what it holds, restore with --restore-log=replace"

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Restored:
    events: int
    last_seq: int


async def difference(log: NatsEventLog, db: Database) -> str | None:
    """Why the log is not the one that was archived; None if it is, or if nothing was.

    Raises `DatabaseUnavailable`, `LogUnavailable`.
    """
    archived = await _archived(db)
    if archived is None:
        return None
    return await checkpoints.mismatch(log, await log.position(), archived)


async def restore_log(nc: Client, db: Database, *, replace_log: bool) -> Restored:
    """Appends what the log lacks of the archive; with `replace_log`, all of it to an emptied log. A log
    that has all of the archive stays as it is.

    Nothing else may write meanwhile. Raises `RestoreRefused`, `DatabaseUnavailable`, `LogUnavailable`.
    """
    log = NatsEventLog(nc)
    archived = await _archived(db)
    if archived is None or archived.seq == 0:
        raise RestoreRefused("the archive is empty: there is nothing to restore")
    await archive.check(db, archived)
    lost = await holes(nc)
    position = await log.position()
    kept = await log.get(archived.seq)
    if not lost and kept is not None and kept.id == archived.event_id:
        await _mark(db, archived, position)
        return Restored(0, position.last_seq)
    if replace_log:
        await remove_log(nc)
        position = await log.position()
    elif lost:
        raise RestoreRefused(f"the log lost {lost} events from its middle; {REPLACE}")
    else:
        await _check_beginning(log, db, position, archived)
    logger.info("the log is restored", present=position.last_seq, archived=archived.seq)
    count = await restore(nc, archive.recorded(db, position.last_seq, archived.seq))
    await _mark(db, archived, position)
    return Restored(count, archived.seq)


async def _mark(db: Database, archived: Checkpoint, position: LogPosition) -> None:
    async with db.session() as connection:
        same = replace(archived, log_created=position.created)
        await checkpoints.start(connection, archive.NAME, same)


async def _archived(db: Database) -> Checkpoint | None:
    async with db.session() as connection:
        if not await connection.fetchval("SELECT to_regclass('checkpoints') IS NOT NULL"):
            return None
        return await checkpoints.read(connection, archive.NAME)


async def _check_beginning(
    log: NatsEventLog, db: Database, position: LogPosition, archived: Checkpoint
) -> None:
    """What the log has must be what the archive begins with."""
    place = min(position.last_seq, archived.seq)
    if place == 0:
        return
    kept = await log.get(place)
    async for events in archive.recorded(db, place - 1, place):
        if kept is None or kept.id != events[0].id:
            raise RestoreRefused(
                f"the log holds {position.last_seq} events that are not the archive's; {REPLACE}"
            )
