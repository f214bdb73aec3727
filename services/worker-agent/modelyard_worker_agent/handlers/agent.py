"""The whole of one agent: a supervisor for every instance, and facts about the machine itself."""

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import structlog
from modelyard_contracts.messages import Want
from modelyard_runtime.secrets import Sealer

from modelyard_worker_agent.adapters.relay import Relay
from modelyard_worker_agent.domain.log_keeping import removals_to_forget
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.handlers.supervisor import Supervisor
from modelyard_worker_agent.ports import Accelerators

logger = structlog.stdlib.get_logger()


class Agent:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._supervisors: dict[int, Supervisor] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def sealer(self) -> Sealer:
        return self._machine.sealer

    def adopt(self) -> None:
        """Takes up every instance that this machine has, before the control plane is even asked."""
        for want in self._machine.files.wants():
            self.wish(want)

    def wish(self, want: Want) -> None:
        supervisor = self._supervisors.get(want.instance_id)
        if supervisor is not None:
            supervisor.wish(want)
            return
        made = Supervisor(self._machine, want)
        self._supervisors[want.instance_id] = made
        task = asyncio.create_task(made.follow(), name=f"instance-{want.instance_id}")
        self._tasks[want.instance_id] = task
        task.add_done_callback(lambda done: self._finished(want.instance_id, done))

    async def follow(self, wants: AsyncIterator[Want]) -> None:
        async for want in wants:
            self.wish(want)

    async def end_strays(self) -> None:
        """What runs is the truth: whatever is left of an earlier start, or of an instance that is not there,
        is ended. An instance that lives and whose want is lost goes on."""
        files, executor, relay = self._machine.files, self._machine.executor, self._machine.relay
        ways = relay.ways() if relay is not None else {}
        runs = await asyncio.to_thread(executor.runs, files.root)
        for directory in sorted(runs):
            if await asyncio.to_thread(self._is_stray, directory):
                logger.warning("a stray run is ended", directory=str(directory))
                await executor.end_leftovers(directory)
        for run in ways.keys() - runs:  # its port may soon be another's
            ways[run].unlink(missing_ok=True)

    def _is_stray(self, directory: Path) -> bool:
        if not (directory.name.isdecimal() and directory.parent.name.isdecimal()):
            return False
        instance_id, attempt = int(directory.parent.name), int(directory.name)
        supervisor = self._supervisors.get(instance_id)
        if supervisor is not None:
            return attempt < supervisor.attempt
        return not (self._machine.files.has_want(instance_id) or self._lives(instance_id))

    async def forget_removed(self, kept_s: float) -> None:
        """Ends the logs of instances that were removed long ago. What lives, or may, is left alone."""
        files = self._machine.files
        for instance_id in removals_to_forget(files.removed(), self._machine.now(), kept_s):
            if instance_id not in self._supervisors and not await asyncio.to_thread(self._lives, instance_id):
                files.give_up(instance_id)
                logger.info("logs of a removed instance end", instance=instance_id)
        await asyncio.to_thread(files.sweep)

    @property
    def relay(self) -> Relay | None:
        return self._machine.relay

    @property
    def accelerators(self) -> Accelerators:
        return self._machine.accelerators

    def starts(self) -> tuple[int, tuple[int, ...]]:
        """How many instances are starting, and which wait for that."""
        return self._machine.starts.starting, self._machine.starts.waiting

    def ours(self, pids: Collection[int]) -> frozenset[int]:
        """Those of the processes that belong to instances of this machine."""
        return self._machine.executor.ours(pids)

    def _lives(self, instance_id: int) -> bool:
        files, find = self._machine.files, self._machine.executor.find
        return any(find(files.attempt(instance_id, attempt)) for attempt in files.attempts(instance_id))

    def _finished(self, instance_id: int, task: "asyncio.Task[None]") -> None:
        self._supervisors.pop(instance_id, None)
        self._tasks.pop(instance_id, None)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a supervisor broke", instance=instance_id, exc_info=task.exception())

    async def leave(self, *, stop_servers: bool) -> None:
        """Ends the watch. Model servers go on unless told otherwise."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if stop_servers:
            await stop_all(self._machine)
            if self._machine.relay is not None:
                self._machine.relay.end()


async def stop_all(machine: Machine) -> None:
    """Ends every model server of this machine; a later agent finds them ended and starts them anew."""

    async def stop(want: Want) -> None:
        for attempt in machine.files.attempts(want.instance_id)[-1:]:
            directory = machine.files.attempt(want.instance_id, attempt)
            process = await asyncio.to_thread(machine.executor.find, directory)
            if process is not None:
                machine.files.mark_shut_down(directory)
                await machine.executor.stop(process, grace_s=machine.limits.stop_grace_s)

    await asyncio.gather(*(stop(want) for want in machine.files.wants()))
