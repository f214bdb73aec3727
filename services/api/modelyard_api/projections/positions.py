"""How far each group has come, as this process knows it, whichever process does the projecting."""

import asyncio
from typing import Any

import structlog

from modelyard_api.adapters.database import Database, DatabaseUnavailable
from modelyard_api.projections.checkpoints import channel

logger = structlog.stdlib.get_logger()

LOOK_S = 1.0


class Position:
    """A sequence that tasks can wait for. It goes down only when the read models start over."""

    def __init__(self) -> None:
        self.seq = 0
        self._moved = asyncio.Event()

    def set(self, seq: int) -> None:
        if seq != self.seq:
            self.seq = seq
            self._moved.set()
            self._moved = asyncio.Event()

    async def moved(self, known: int) -> int:
        """The position once it is another than `known`."""
        while self.seq == known:
            await self._moved.wait()
        return self.seq

    async def reached(self, seq: int) -> int:
        while self.seq < seq:
            await self._moved.wait()
        return self.seq

    async def wait_for(self, seq: int, timeout_s: float) -> bool:
        if self.seq >= seq:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self.reached(seq)
        except TimeoutError:
            return False
        return True


class Listener:
    """Keeps positions up to date by LISTEN, and by a look at the checkpoints now and then."""

    def __init__(self, db: Database, positions: dict[str, Position]) -> None:
        self._db = db
        self._positions = positions
        self.problem: str | None = None

    async def run(self) -> None:
        while True:
            try:
                await self._listen()
            except DatabaseUnavailable as error:
                if self.problem is None:
                    logger.warning("the read models' database is away", error=str(error.__cause__))
                self.problem = str(error)
            await asyncio.sleep(LOOK_S / 4)

    async def _listen(self) -> None:
        async with self._db.session() as connection:
            for name in self._positions:
                await connection.add_listener(channel(name), self._heard)
            while True:
                await self._look(connection)
                if self.problem is not None:
                    logger.info("the read models' database is back")
                    self.problem = None
                await asyncio.sleep(LOOK_S)

    def _heard(self, _: Any, __: int, heard: str, payload: str) -> None:
        for name, position in self._positions.items():
            if channel(name) == heard:
                position.set(int(payload))

    async def _look(self, connection: Any) -> None:
        known = await connection.fetchval("SELECT to_regclass('checkpoints') IS NOT NULL")
        if not known:
            return
        before = {name: position.seq for name, position in self._positions.items()}
        for name, seq in await connection.fetch("SELECT name, seq FROM checkpoints"):
            # what was heard while the query ran is newer than its answer
            if name in before and self._positions[name].seq == before[name]:
                self._positions[name].set(seq)
