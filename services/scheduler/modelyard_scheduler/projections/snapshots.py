"""Starts the picture from its last snapshot, and takes a new one now and then.

A snapshot is never the truth: one that is of another log, of other code or from beyond the log's end is left
alone, and the log is read from its first event.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import modelyard_contracts
import structlog
from modelyard_eventlog.log import EventLog

from modelyard_scheduler import domain
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.snapshot import Unreadable, decoded, encoded, taken
from modelyard_scheduler.ports import Shelf
from modelyard_scheduler.projections.feed import PictureFeed

logger = structlog.stdlib.get_logger()

EVERY = 10_000
"""Events between two snapshots: reading as many takes a second."""


@dataclass(slots=True)
class SnapshotKeeper:
    feed: PictureFeed
    log: EventLog
    shelf: Shelf
    position: int = 0
    """Of the last snapshot."""

    async def restore(self) -> None:
        """Call this before the feed runs. Raises `LogUnavailable`."""
        data = await self.shelf.read()
        if data is None:
            return
        try:
            picture = await self._checked(data)
        except Unreadable as why:
            logger.warning("the snapshot is left alone, the log is read from its start", why=str(why))
            return
        self.feed.picture, self.position = picture, picture.position
        logger.info("starts from a snapshot", position=picture.position)

    async def keep(self) -> None:
        """Takes a snapshot if enough has happened since the last one. Raises `LogUnavailable`."""
        if self.feed.picture.position - self.position < EVERY:
            return
        snapshot = taken(self.feed.picture)
        event = await self.log.get(snapshot.position)
        if event is None:
            return
        created = (await self.log.position()).created.isoformat()
        about = {"log": created, "event_id": event.id, "position": event.seq, "code": code_version()}
        body = await asyncio.to_thread(encoded, snapshot)
        await self.shelf.write(json.dumps(about).encode() + b"\n" + body)
        self.position = snapshot.position
        logger.info("a snapshot is kept", position=snapshot.position, size_bytes=len(body))

    async def _checked(self, data: bytes) -> Picture:
        """Raises `Unreadable`, `LogUnavailable`."""
        head, _, body = data.partition(b"\n")
        about = _about(head)
        if about.get("code") != code_version():
            raise Unreadable("it was taken by another version")
        position = await self.log.position()
        at = about["position"]
        if about["log"] != position.created.isoformat() or at > position.last_seq:
            raise Unreadable("it is of another log")
        event = await self.log.get(at)
        if event is None or event.id != about["event_id"]:
            raise Unreadable(f"event {at} of the log is another than the one it has seen")
        picture = decoded(body)
        if picture.position != at:
            raise Unreadable(f"it is at {picture.position}, not at {at}")
        return picture


def _about(head: bytes) -> dict[str, Any]:
    """Raises `Unreadable`."""
    try:
        about = json.loads(head)
    except ValueError as error:
        raise Unreadable("it is no snapshot") from error
    return about if isinstance(about, dict) else {}


def code_version() -> str:
    """Of all code that the fold of the log depends on: what other code folded is not trusted."""
    digest = hashlib.sha256()
    for package in (*modelyard_contracts.__path__, *domain.__path__):
        for path in sorted(Path(package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
