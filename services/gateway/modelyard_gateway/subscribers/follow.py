"""Feeds the routing table from the event log, from its beginning, for as long as the process lives."""

import asyncio

import structlog
from modelyard_eventlog.log import EventLog, LogUnavailable

from modelyard_gateway.domain.readiness import Readiness
from modelyard_gateway.domain.table import RoutingTable

logger = structlog.stdlib.get_logger()

RETRY_S = 0.25


async def follow(log: EventLog, table: RoutingTable, readiness: Readiness) -> None:
    """Without end. Raises what makes the log unreadable: a gap, an event this build does not know."""
    end = await _end_of(log)
    _note(table, readiness, end)
    async for batch in log.follow(table.seq):
        for recorded in batch:
            table.apply(recorded)
        _note(table, readiness, end)


async def _end_of(log: EventLog) -> int:
    said = False
    while True:
        try:
            return (await log.position()).last_seq
        except LogUnavailable as error:
            if not said:
                logger.warning("waiting for the event log", error=str(error))
                said = True
        await asyncio.sleep(RETRY_S)


def _note(table: RoutingTable, readiness: Readiness, end: int) -> None:
    if not readiness.caught_up and table.seq >= end:
        readiness.caught_up = True
        logger.info("routing table is ready", seq=table.seq, routes=len(table.routes.by_id))
