"""Reads how busy this machine is, at its own pace: some drivers take seconds to tell."""

import asyncio
from collections.abc import Callable, Collection

import psutil
from modelyard_contracts.telemetry import DiskUse, Download, Telemetry
from modelyard_runtime.clock import Now

from modelyard_worker_agent.domain.telemetry import telemetry
from modelyard_worker_agent.ports import Accelerators


class Gauge:
    """`ours`: which of some processes belong to our instances. `starts`: how many of those are starting, and
    which wait for their turn."""

    def __init__(
        self,
        accelerators: Accelerators,
        ours: Callable[[Collection[int]], Collection[int]],
        now: Now,
        downloads: Callable[[], tuple[Download, ...]] = tuple,
        disk: Callable[[], DiskUse | None] = lambda: None,
        starts: Callable[[], tuple[int, tuple[int, ...]]] = lambda: (0, ()),
    ) -> None:
        self.accelerators = accelerators
        self.latest: Telemetry | None = None
        self._ours = ours
        self._now = now
        self._downloads = downloads
        self._disk = disk
        self._starts = starts

    async def run(self, every_s: float) -> None:
        """Without end."""
        while True:
            self.latest = await asyncio.to_thread(self.read)
            await asyncio.sleep(every_s)

    def read(self) -> Telemetry:
        readings = self.accelerators.readings()
        starting, waiting = self._starts()
        pids = {process.pid for reading in readings for process in reading.processes}
        return telemetry(
            readings,
            self._ours(pids) if pids else (),
            read_at=self._now(),
            cpu_percent=psutil.cpu_percent(),
            memory_used_bytes=psutil.virtual_memory().used,
            downloads=self._downloads(),
            disk=self._disk(),
            starting=starting,
            waiting=waiting,
        )
