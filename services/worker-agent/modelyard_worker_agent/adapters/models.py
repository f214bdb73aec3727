"""Where a model is: on this machine already, or fetched from a hub.

What was fetched once is served again without a question to the hub: an instance keeps its model across
restarts, and restarts while the hub is away.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from modelyard_contracts.deployments import Source
from modelyard_contracts.inventory import ModelDisk
from modelyard_contracts.models import ModelCoordinates
from modelyard_contracts.telemetry import DiskUse, Download

from modelyard_worker_agent.adapters.fetching import fetch
from modelyard_worker_agent.adapters.kept_models import KeptModel, KeptModels
from modelyard_worker_agent.adapters.local_models import served_model
from modelyard_worker_agent.domain.disk_room import DiskFull, Space, evictions, room_bytes
from modelyard_worker_agent.domain.download_speed import Speedometer, remaining_s
from modelyard_worker_agent.domain.fetching import FetchPlan, FetchRequest
from modelyard_worker_agent.ports import DownloadFailed, ModelMissing, ModelNews


@dataclass(frozen=True, slots=True)
class Hub:
    endpoint: str
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Fetching:
    """How models are fetched."""

    hubs: dict[Source, Hub]
    quota_bytes: int = 0
    """Most that all models may take together; 0: as much as the disk has."""
    at_once: int = 4
    """Models, and files of each."""
    proxy: str | None = None
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free


@dataclass(slots=True)
class _Running:
    coordinates: ModelCoordinates
    task: "asyncio.Task[KeptModel]"
    waiting: int = 0
    total_bytes: int = 0
    speed: Speedometer = field(default_factory=Speedometer)


class ModelStore:
    """`in_use` tells the ids of models that instances of this machine are wanted with."""

    def __init__(
        self,
        directory: Path,
        fetching: Fetching,
        news: ModelNews,
        in_use: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.kept = KeptModels(directory)
        self._fetching = fetching
        self._news = news
        self._in_use = in_use
        self._running: dict[str, _Running] = {}
        self._slots = asyncio.Semaphore(fetching.at_once)
        self._room = asyncio.Lock()

    async def resolve(
        self, model: ModelCoordinates, downloading: Callable[[], Awaitable[None]], token: str | None = None
    ) -> Path:
        """However many wait for a model, it is fetched once; when nobody does any more, it ends, and what
        came of it stays. Raises `ModelMissing`, `DownloadFailed`."""
        if model.source is Source.LOCAL_PATH:
            return await asyncio.to_thread(served_model, model.repo)
        ident = model.model_id()
        kept = await asyncio.to_thread(self.kept.whole, ident)
        if kept is None:
            await downloading()
            kept = await self._fetched(ident, model, token)
        self.kept.used_now(ident)
        return self.kept.served(ident, kept)

    async def prefetch(self, model: ModelCoordinates, token: str | None = None) -> None:
        """Says that it is there also if it was before."""
        ident = model.model_id()
        kept = await asyncio.to_thread(self.kept.whole, ident)
        if kept is None:
            await self._fetched(ident, model, token)
        else:
            self._news.downloaded(model, kept.plan, self.kept.served(ident, kept))

    async def delete(self, model: ModelCoordinates, *, cleanup: bool) -> bool:
        ident = model.model_id()
        if ident in self._busy():
            return False
        await asyncio.to_thread(self.kept.delete if cleanup else self.kept.forget, ident)
        self._news.deleted(model)
        return True

    def say_what_is_here(self) -> None:
        """At each start: the log may know nothing of it."""
        for ident, _ in self.kept.all():
            kept = self.kept.whole(ident)
            if kept is not None:
                self._news.downloaded(kept.coordinates, kept.plan, self.kept.served(ident, kept))

    def is_coming(self, model_id: str) -> bool:
        return model_id in self._running

    def downloads(self) -> tuple[Download, ...]:
        """What is coming right now."""
        return tuple(self._seen(ident, each) for ident, each in list(self._running.items()))

    def disk(self) -> ModelDisk:
        """Raises OSError."""
        root = self.kept.root.resolve()
        mounts = [at for at in (root, *root.parents) if at.is_mount()]
        return ModelDisk(
            mount_point=str(mounts[0]),
            total_bytes=shutil.disk_usage(root).total,
            quota_bytes=self._fetching.quota_bytes,
        )

    def disk_use(self) -> DiskUse:
        """Raises OSError."""
        there = self.kept.on_disk(self._busy())
        space = self._space(self._promised(None))
        used = shutil.disk_usage(self.kept.root).used
        return DiskUse(used_bytes=used, room_bytes=room_bytes(there, space))

    # --- one download --------------------------------------------------------------------------------

    async def _fetched(self, ident: str, model: ModelCoordinates, token: str | None = None) -> KeptModel:
        while (running := self._running.get(ident)) is not None and running.task.cancelling():
            await asyncio.wait({running.task})
        if running is None:
            task = asyncio.create_task(self._fetch(ident, model, token), name=f"fetch-{ident}")
            running = self._running[ident] = _Running(model, task)
            task.add_done_callback(lambda _: self._running.pop(ident, None))
        running.waiting += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.waiting -= 1
            if not running.waiting and not running.task.done():
                running.task.cancel()
                await asyncio.wait({running.task})

    async def _fetch(self, ident: str, model: ModelCoordinates, token: str | None) -> KeptModel:
        before = self.kept.find(ident)
        hub = self._fetching.hubs[model.source]
        request = FetchRequest(
            coordinates=model,
            revision=before.plan.revision if before else None,
            directory=str(self.kept.files(ident)),
            endpoint=hub.endpoint,
            token=token or hub.token,
            files_at_once=self._fetching.at_once,
        )
        found: list[KeptModel] = []

        async def planned(plan: FetchPlan) -> None:
            found.append(KeptModel(coordinates=model, plan=plan, whole=False))
            async with self._room:
                await self._make_room(ident, model, plan)
                self._running[ident].total_bytes = plan.total_bytes()
            self.kept.keep(ident, found[0])
            self._news.downloading(model, plan)

        try:
            async with self._slots:
                await fetch(request, self.kept.log(ident), self._environment(), planned)
            whole = found[0].model_copy(update={"whole": True})
            self.kept.keep(ident, whole)
        except (ModelMissing, DownloadFailed) as error:
            self._news.failed(model, str(error))
            raise
        except OSError as error:
            self._news.failed(model, str(error))
            raise DownloadFailed(f"{model.location()} cannot be kept: {error}") from error
        self._news.downloaded(model, whole.plan, self.kept.served(ident, whole))
        return whole

    async def _make_room(self, ident: str, model: ModelCoordinates, plan: FetchPlan) -> None:
        """Deletes what is least used, if there must be room. Raises `DownloadFailed`."""
        there = await asyncio.to_thread(self.kept.on_disk, self._busy())
        here = sum(each.used_bytes for each in there if each.model_id == ident)
        space = self._space(self._promised(ident))
        try:
            chosen = evictions(model.location(), max(plan.total_bytes() - here, 0), there, space)
        except DiskFull as error:
            raise DownloadFailed(str(error)) from error
        for other in chosen:
            kept = self.kept.find(other)
            await asyncio.to_thread(self.kept.delete, other)
            if kept is not None:
                self._news.evicted(kept.coordinates, model)

    def _space(self, promised_bytes: int) -> Space:
        return Space(
            free_bytes=self._fetching.free_bytes(self.kept.root),
            quota_bytes=self._fetching.quota_bytes,
            promised_bytes=promised_bytes,
        )

    def _promised(self, but: str | None) -> int:
        running = list(self._running.items())
        others = [(ident, each.total_bytes) for ident, each in running if ident != but]
        return sum(max(total - self.kept.bytes_of(ident), 0) for ident, total in others)

    def _busy(self) -> frozenset[str]:
        return frozenset(self._in_use()) | self._running.keys()

    def _environment(self) -> dict[str, str]:
        proxy = self._fetching.proxy
        return {**os.environ, **({"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy} if proxy else {})}

    def _seen(self, ident: str, running: _Running) -> Download:
        done = min(self.kept.bytes_of(ident), running.total_bytes)
        running.speed.note(time.monotonic(), done)
        bytes_per_s = running.speed.bytes_per_s()
        return Download(
            model_id=ident,
            total_bytes=running.total_bytes,
            done_bytes=done,
            bytes_per_s=bytes_per_s,
            remaining_s=remaining_s(running.total_bytes, done, bytes_per_s),
        )
