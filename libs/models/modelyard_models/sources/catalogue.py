"""The door to all sources: never blocks the event loop, ends in time, asks nothing twice."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from modelyard_contracts.deployments import Source
from modelyard_contracts.models import ModelCoordinates

from modelyard_models.sources.cache import CachedSource, DiskCache
from modelyard_models.sources.deadline import retried, within
from modelyard_models.sources.errors import Unreachable
from modelyard_models.sources.inspecting import Inspection, inspect
from modelyard_models.sources.local import LocalFiles
from modelyard_models.sources.port import Found, ModelSource, Search
from modelyard_models.sources.settings import ModelSourceSettings

if TYPE_CHECKING:
    from modelyard_models.sources.hubs import Hub

THREADS = 8
GRACE_S = 1.0
"""A thread notices its deadline by itself; one that hangs in a header is left behind after this."""

Result = TypeVar("Result")


class Catalogue:
    """One in a process: huggingface_hub knows one HTTP client only."""

    def __init__(self, settings: ModelSourceSettings) -> None:
        self._settings = settings
        self._hubs: Mapping[Source, Hub] | None = None
        self._importing = threading.Lock()
        self._cache = DiskCache(settings.model_cache.expanduser(), settings.model_cache_bytes)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="model-source")

    async def search(self, source: Source, wanted: Search, token: str | None = None) -> Found:
        """`token` stands in for the configured one. Raises `SourceError`."""
        return await self._in_time(lambda: retried(lambda: self._source(source, token).search(wanted)))

    async def inspect(self, coordinates: ModelCoordinates, token: str | None = None) -> Inspection:
        """A local path is one of this machine. Raises `SourceError`."""
        return await self._in_time(lambda: inspect(self._source(coordinates.source, token), coordinates))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _source(self, source: Source, token: str | None) -> ModelSource:
        if source is Source.LOCAL_PATH:
            return LocalFiles()
        with self._importing:
            from modelyard_models.sources.hubs import hubs_of, shown

            self._hubs = self._hubs or hubs_of(self._settings)
        return CachedSource(
            shown(self._hubs[source], token),
            self._cache,
            expiry_s=self._settings.model_cache_expiry_s,
            offline=self._settings.model_source_offline,
        )

    async def _in_time(self, work: Callable[[], Result]) -> Result:
        limit_s = self._settings.model_source_timeout_s

        def bounded() -> Result:
            with within(limit_s):
                return work()

        running = asyncio.get_running_loop().run_in_executor(
            self._threads, contextvars.copy_context().run, bounded
        )
        try:
            return await asyncio.wait_for(running, limit_s + GRACE_S)
        except TimeoutError as error:
            raise Unreachable(
                f"no answer within {limit_s:g} s: try again, or raise --model-source-timeout-s"
            ) from error
