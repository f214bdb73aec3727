"""Feeds the routing table from the event log, from where it is, for as long as the process lives."""

import asyncio
from datetime import datetime

import structlog
from modelyard_eventlog.log import EventLog, LogPosition, LogUnavailable

from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.table import RoutingTable

logger = structlog.stdlib.get_logger()

RETRY_S = 0.25


async def follow(
    log: EventLog, table: RoutingTable, readiness: Readiness, log_created: datetime | None = None
) -> None:
    """Without end. Raises what makes the log unreadable: a gap, an event this build does not know.

    `log_created` tells the log that a table from a snapshot came from; where it is another, or an older
    one was put back, the table begins anew.
    """
    position = await _position(log)
    if table.seq and (position.created != log_created or position.last_seq < table.seq):
        logger.warning("the snapshot is of another log", seq=table.seq)
        readiness.caught_up = False
        table.forget()
    readiness.log_created = position.created
    _note(table, readiness, position.last_seq)
    async for batch in log.follow(table.seq):
        for recorded in batch:
            table.apply(recorded)
        _note(table, readiness, position.last_seq)


async def _position(log: EventLog) -> LogPosition:
    said = False
    while True:
        try:
            return await log.position()
        except LogUnavailable as error:
            if not said:
                logger.warning("waiting for the event log", error=str(error))
                said = True
        await asyncio.sleep(RETRY_S)


def _note(table: RoutingTable, readiness: Readiness, end: int) -> None:
    if table.seq < end:
        return
    readiness.from_snapshot = False
    if not readiness.caught_up:
        readiness.caught_up = True
        logger.info("routing table is ready", seq=table.seq, routes=len(table.routes.by_id))
