"""Sums up the stream of usage: one writer anywhere, sums and checkpoint in one transaction."""

import asyncio
import struct
from dataclasses import replace
from typing import Any

import structlog
from modelyard_contracts.usage import unpacked
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.usage import Counted, UsageStream
from pydantic import ValidationError

from modelyard_api.adapters.database import Database, DatabaseUnavailable
from modelyard_api.projections import checkpoints, usage
from modelyard_api.projections.checkpoints import Checkpoint, Overtaken, lock_key
from modelyard_api.projections.group import RETRY_S, STAND_BY_S
from modelyard_api.projections.schema import make_tables
from modelyard_api.projections.usage import Sums

logger = structlog.stdlib.get_logger()

NAME = "usage"


class Metering:
    def __init__(self, stream: UsageStream, db: Database) -> None:
        self._stream = stream
        self._db = db

    async def run(self) -> None:
        """Without end; whatever is away is waited for."""
        while True:
            try:
                await self._lead()
            except (DatabaseUnavailable, LogUnavailable, Overtaken) as error:
                logger.info("usage is not summed up for now", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _lead(self) -> None:
        async with self._db.session() as connection:
            lock = lock_key(NAME)
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock):  # noqa: ASYNC110 - another process holds it
                await asyncio.sleep(STAND_BY_S)
            await make_tables(connection, [checkpoints.TABLE, usage.HOURS, usage.PROCESSES])
            checkpoint = await self._checkpoint(connection)
            async for counted in self._stream.follow(checkpoint.seq):
                checkpoint = await write(connection, counted, checkpoint)

    async def _checkpoint(self, connection: Any) -> Checkpoint:
        """Of a new stream everything is read; what was summed up before is known by its numbers."""
        created = await self._stream.created()
        found = await checkpoints.read(connection, NAME)
        if found is not None and found.log_created == created:
            return found
        fresh = checkpoints.fresh(created)
        await checkpoints.start(connection, NAME, fresh)
        return fresh


async def write(connection: Any, counted: list[Counted], old: Checkpoint) -> Checkpoint:
    sums = Sums(await usage.numbers_of(connection, {message.process for message in counted}))
    for message in counted:
        try:
            for metered in unpacked(message.entries):
                sums.add(message.process, metered)
        except (struct.error, IndexError, ValidationError) as error:
            logger.error("no usage", process=message.process, seq=message.seq, error=str(error))
    new = replace(old, seq=counted[-1].seq)
    async with connection.transaction():
        await connection.executemany(usage.ADD, sums.rows())
        await connection.executemany(usage.KEEP_NUMBER, list(sums.numbers.items()))
        await checkpoints.advance(connection, NAME, old, new)
    return new
