"""Does what is wanted of the models on this machine's disk."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from modelyard_contracts.messages import FileWant
from modelyard_runtime.secrets import Sealer, Unsealable

from modelyard_worker_agent.ports import DownloadFailed, ModelMissing, Shelf

logger = structlog.stdlib.get_logger()

LOOK_S = 1.0


class ModelFiles:
    """The latest want of each model counts; the same one is done once."""

    def __init__(self, shelf: Shelf, sealer: Sealer) -> None:
        self._shelf = shelf
        self._sealer = sealer
        self._doing: dict[int, tuple[FileWant, asyncio.Task[None]]] = {}

    async def follow(self, wants: AsyncIterator[FileWant]) -> None:
        async for want in wants:
            await self.wish(want)

    async def wish(self, want: FileWant) -> None:
        before, task = self._doing.get(want.file_id, (None, None))
        if before == want:
            return
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        work = self._prefetch(want) if want.state == "present" else self._delete(want)
        self._doing[want.file_id] = want, asyncio.create_task(work, name=f"file-{want.file_id}")

    async def leave(self) -> None:
        tasks = [task for _, task in self._doing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prefetch(self, want: FileWant) -> None:
        try:
            await self._shelf.prefetch(want.model, self._token(want))
        except (ModelMissing, DownloadFailed) as error:
            logger.warning("a model cannot be fetched", model=want.model.location(), why=str(error))

    def _token(self, want: FileWant) -> str | None:
        """One that cannot be opened is as good as none: the hub then says what it lacks."""
        try:
            return self._sealer.unseal(want.sealed_token) if want.sealed_token else None
        except Unsealable as error:
            logger.warning("a token for a hub is not used", model=want.model.location(), why=str(error))
            return None

    async def _delete(self, want: FileWant) -> None:
        """As soon as nothing on this machine uses it."""
        while not await self._shelf.delete(want.model, cleanup=want.cleanup):
            await asyncio.sleep(LOOK_S)
