"""Counts every request once, remembers it for a while, and delivers what was counted."""

import asyncio
import tempfile
from pathlib import Path

import structlog
from modelyard_contracts.usage import PACKED, unpacked
from modelyard_eventlog.log import LogUnavailable
from modelyard_eventlog.usage import UsageStream

from modelyard_gateway.adapters.spool import Mark, Orphan, Spool, forget_abandoned, orphans
from modelyard_gateway.domain.metered import IN_FLIGHT, NOTHING, tokens_and_basis
from modelyard_gateway.domain.record import Record
from modelyard_gateway.handlers.ledger import Ledger

logger = structlog.stdlib.get_logger()

DELIVER_S = 0.5
ADOPT_EVERY = 20
"""Deliveries between two looks for what other processes left."""
MESSAGE_BYTES = 1000 * PACKED.size
SETTLE_S = 3.0
TEMPORARY = "modelyard-usage-"


class Meter:
    """`root` holds the spools of all processes of a machine's gateways; without one, the spool is a
    temporary directory, which after a kill is removed by the next that needs one."""

    def __init__(self, root: Path | None, process: str, ledger: Ledger) -> None:
        if root is None:
            forget_abandoned(Path(tempfile.gettempdir()), TEMPORARY)
        self._temporary = tempfile.TemporaryDirectory(prefix=TEMPORARY) if root is None else None
        self._root = Path(self._temporary.name) if self._temporary is not None else root or Path()
        self._ledger = ledger
        self._spool = Spool(self._root, process)
        self.sent = self._spool.mark
        """To be told of each request that goes to an instance."""
        self._number = 0
        self._synced = 0
        self._lost = 0
        self._segment = 0
        self._delivered = 0
        """Of that segment, in bytes."""
        self._delivering = False
        self._closed = False
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()

    def finished(self, record: Record) -> None:
        """A request that came to no route is not counted."""
        self._ledger.add(record)
        if record.route_id is None or self._closed:
            return
        tokens, basis = tokens_and_basis(record)
        self._number += 1
        try:
            self._spool.add(self._number, record, tokens, basis)
        except OSError as error:
            self._lost += 1
            logger.error("usage is not counted: no room to keep it", lost=self._lost, error=str(error))

    async def deliver(self, stream: UsageStream) -> None:
        """Without end."""
        self._delivering = True
        rounds, waiting = 0, False
        while True:
            try:
                if rounds % ADOPT_EVERY == 0:
                    await self._adopt(stream)
                await self._sync()
                await self._deliver_own(stream)
            except (LogUnavailable, OSError) as error:
                if not waiting:
                    logger.warning("usage waits in the spool", error=str(error))
                waiting = True
            else:
                waiting = False
                rounds += 1
                if self._wake.is_set():
                    self._settled.set()
            try:
                async with asyncio.timeout(DELIVER_S):
                    await self._wake.wait()
                await asyncio.sleep(DELIVER_S / 10)
            except TimeoutError:
                pass

    async def close(self) -> None:
        """Delivers what is left, if that can be done in a moment; else it stays for the next process."""
        self._wake.set()
        try:
            async with asyncio.timeout(SETTLE_S if self._delivering else 0):
                await self._settled.wait()
        except TimeoutError:
            logger.warning("usage stays in the spool", path=str(self._spool.directory))
        self._closed = True
        self._spool.close(keep=not self._settled.is_set())
        if self._temporary is not None:
            self._temporary.cleanup()

    async def _deliver_own(self, stream: UsageStream) -> None:
        while True:
            entries = self._spool.read(self._segment, self._delivered, MESSAGE_BYTES)
            if entries:
                await _publish(stream, self._spool.process, entries)
                self._delivered += len(entries)
            elif self._segment < self._spool.segment:
                self._spool.forget(self._segment)
                self._segment, self._delivered = self._segment + 1, 0
            else:
                return

    async def _sync(self) -> None:
        if self._synced != self._number:
            self._synced = self._number
            await asyncio.to_thread(self._spool.sync)

    async def _adopt(self, stream: UsageStream) -> None:
        for orphan in orphans(self._root):
            try:
                await _deliver_orphan(stream, orphan)
            except (LogUnavailable, OSError):
                orphan.leave()
                raise
            orphan.forget()


async def _deliver_orphan(stream: UsageStream, orphan: Orphan) -> None:
    entries = orphan.entries()
    ended = {(one.request_id, one.started_at) for one in unpacked(entries)}
    last = _last(entries) if entries else 0
    lost = [mark for mark in orphan.marks() if (mark.request_id.decode(), mark.started_at) not in ended]
    logger.warning("usage of a process that was killed", process=orphan.process, in_flight=len(lost))
    entries += b"".join(_in_flight(last + place, mark) for place, mark in enumerate(lost, 1))
    for start in range(0, len(entries), MESSAGE_BYTES):
        await _publish(stream, orphan.process, entries[start : start + MESSAGE_BYTES])


def _in_flight(number: int, mark: Mark) -> bytes:
    """A request that was, when its process was killed."""
    whose = (mark.key_id, mark.user_id, mark.route_id, mark.asked or -1)
    length = len(mark.request_id)
    return PACKED.pack(
        number, mark.started_at, *whose, *NOTHING, 0.0, -1.0, 0, IN_FLIGHT, length, b"", mark.request_id
    )


async def _publish(stream: UsageStream, process: str, entries: bytes) -> None:
    await stream.publish(process, PACKED.unpack_from(entries)[0], _last(entries), entries)


def _last(entries: bytes) -> int:
    """The number of the last of them."""
    number: int = PACKED.unpack_from(entries, len(entries) - PACKED.size)[0]
    return number
