"""Keeps watch over one instance: starts it, waits until it answers, notices how it ends, stops it.

One task per instance does one thing at a time. What it needs to go on after a restart of the agent is on
disk: the last want, and a directory per attempt (`ports.Process`, `running.json`).
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog
from modelyard_contracts.failures import FailureCause
from modelyard_contracts.messages import GroupWant, Want
from modelyard_runtime.tracing import span

from modelyard_worker_agent.adapters.run_files import Stretch, Turn
from modelyard_worker_agent.domain.failures import Failure, classify
from modelyard_worker_agent.domain.reconcile import Here, Local, Step, is_in_vain, next_step
from modelyard_worker_agent.handlers.draining import drain, memory_is_back
from modelyard_worker_agent.handlers.group_part import ECHO_S, ECHOES, GroupPart
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.handlers.measuring import when_served
from modelyard_worker_agent.handlers.probing import Hearers, Probing
from modelyard_worker_agent.handlers.starting import NotStarted, launched_unknown, start
from modelyard_worker_agent.handlers.stuck_parts import until_stuck
from modelyard_worker_agent.handlers.telling import Telling, is_subordinate
from modelyard_worker_agent.ports import Listening, Process

logger = structlog.stdlib.get_logger()

HALT_S = 2.0
"""For what is left of a group that has failed: it serves nobody any more."""


class Supervisor:
    """`follow` runs until the instance is gone from this machine."""

    def __init__(self, machine: Machine, want: Want) -> None:
        self._machine = machine
        self._want = want
        self._changed = asyncio.Event()
        self._changed.set()
        attempts = machine.files.attempts(want.instance_id)
        self._attempt = attempts[-1] if attempts else -1
        self._process: Process | None = None
        self._here = Here.NOTHING if self._attempt < 0 else Here.ENDED
        self._healthy: Stretch | None = None
        self._turn = Turn()
        self._forced = False
        self._part = GroupPart(machine)

    @property
    def attempt(self) -> int:
        """Of the last start; -1 if there was none."""
        return self._attempt

    def wish(self, want: Want) -> None:
        """Takes a newer want; an equal one changes nothing."""
        if want != self._want:
            self._machine.files.keep_want(want)
            self._want = want
            self._changed.set()

    async def follow(self) -> None:
        self._machine.files.keep_want(self._want)
        await self._adopt()
        while True:
            part = self._part
            match next_step(self._want, Local(self._here, self._attempt, part.fetched, part.prepared)):
                case Step.START:
                    with span("start model server", self._want.traceparent, instance=self._want.name):
                        await self._until_wished_away(self._start(self._want))
                case Step.FETCH:
                    await self._until_wished_away(self._prepare(self._want, self._part.fetch(self._want)))
                case Step.PREPARE if self._want.group is not None:
                    ready = self._tell_prepared(self._want, self._want.group)
                    await self._until_wished_away(self._prepare(self._want, ready))
                case Step.HALT:
                    await self._end(grace_s=HALT_S)
                    self._machine.files.mark_failed(self._directory())
                    self._here, self._process = Here.ENDED, None
                case Step.STOP:
                    await self._stop()
                case Step.SAY_STOPPED:
                    await self._say_stopped()
                    return
                case Step.NOTHING if self._here is Here.ALIVE:
                    await self._until_wished_away(self._watch(self._want))
                case Step.NOTHING | Step.PREPARE:
                    await self._changed.wait()
                    self._changed.clear()

    async def _until_wished_away(self, work: Coroutine[None, None, None]) -> None:
        """Does the work until it is done, or until a newer want says that it is in vain."""
        task, attempt = asyncio.create_task(work), self._want.attempt
        try:
            while not task.done():
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait({task, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._changed.clear()
                if is_in_vain(self._want, attempt):
                    break
            if task.done():
                task.result()
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    # --- steps ---------------------------------------------------------------------------------------

    async def _adopt(self) -> None:
        """Finds what an earlier agent started, and says how it ended if it did meanwhile."""
        if self._attempt < 0:
            return
        directory = self._directory()
        self._process = await asyncio.to_thread(self._machine.executor.find, directory)
        if self._process is not None:
            self._here = Here.ALIVE
            self._healthy = self._healthy or self._machine.files.healthy(directory)
            if self._healthy is None:
                self._machine.starts.enter_at_once(self._want.instance_id)
            self._turn = self._machine.files.turn(directory)
            logger.info("adopted a model server", instance=self._want.name, pid=self._process.pid)
            if not self._machine.files.was_told(directory):
                await self._tell.started(self._process)
        elif not (directory / "failed").exists() and self._want.state == "running":
            await self._ended(self._want)

    async def _prepare(self, want: Want, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except NotStarted as error:
            self._attempt, self._healthy, self._turn = want.attempt, None, Turn()
            await self._failed(error.failure)

    async def _tell_prepared(self, want: Want, group: GroupWant) -> None:
        """Raises `NotStarted`."""
        fact = await self._part.prepare(want, group)
        await Telling(self._machine, want, want.attempt).say(fact)

    async def _start(self, want: Want) -> None:
        self._attempt, self._healthy, self._turn = want.attempt, None, Turn()
        directory, downloading = self._directory(), self._tell.downloading
        try:
            self._process = await start(self._machine, want, directory, downloading, self._part.let_go)
        except NotStarted as error:
            await self._failed(error.failure)
            return
        finally:
            if self._process is None:
                self._machine.starts.leave(want.instance_id)
        self._here = Here.ALIVE
        await self._tell.started(self._process)
        self._prune()

    async def _watch(self, want: Want) -> None:
        """Until the model server ends, or is found to hang."""
        process = self._process
        if process is None:
            return
        watches = [asyncio.create_task(watch) for watch in self._watches(want, process)]
        measuring = asyncio.create_task(self._measure(want, process))
        ending = asyncio.create_task(self._machine.executor.until_ended(process))
        try:
            await asyncio.wait({*watches, ending}, return_when=asyncio.FIRST_COMPLETED)
            found = [watch.result() for watch in watches if watch.done()]
        finally:
            for task in (*watches, measuring, ending):
                task.cancel()
        if found and self._machine.executor.alive(process):
            await self._machine.executor.stop(process, grace_s=1.0)
            await self._failed(found[0])
            return
        await self._ended(want)

    def _watches(self, want: Want, process: Process) -> list[Coroutine[None, None, Failure]]:
        """Each ends when it finds that the server hangs. Whether a group as a whole answers, the primary's
        agent sees."""
        watches = [] if want.group is None else [until_stuck(self._machine, process)]
        if not is_subordinate(want):
            watches.append(self._probing(want, process).until_hung(ran_before=self._healthy is not None))
        return watches

    async def _measure(self, want: Want, process: Process) -> None:
        """Once a start."""
        if self._machine.files.was_measured(process.directory):
            return
        fact = await when_served(self._machine, want, process, self._served_s)
        if fact is not None:
            await self._tell.say(fact)
            self._machine.files.mark_measured(process.directory)

    def _served_s(self) -> float:
        return self._healthy.seconds if self._healthy and self._turn.ready else 0.0

    def _probing(self, want: Want, process: Process) -> Probing:
        async def running(at: Listening, seconds: float) -> None:
            await self._is_running(process, at, seconds)

        async def healthy() -> None:
            await self._is_healthy(process)

        hearers = Hearers(running, healthy, self._is_unready)
        launched = self._machine.files.launched(process.directory) or launched_unknown(want)
        return Probing(self._machine, want, process, launched, hearers, ready=self._turn.ready)

    async def _is_running(self, process: Process, at: Listening, seconds: float) -> None:
        self._machine.starts.leave(self._want.instance_id)
        self._takes_turn(await self._tell.running(process, at, seconds, self._turn.number + 1))

    async def _is_unready(self, why: str) -> None:
        await self._tell.unready(why, self._turn.number)
        self._takes_turn(replace(self._turn, ready=False))

    def _takes_turn(self, turn: Turn) -> None:
        """Kept once it was said: said again by the next agent, it is the same fact."""
        self._turn = turn
        with suppress(OSError):
            self._machine.files.keep_turn(self._directory(), turn)

    async def _is_healthy(self, process: Process) -> None:
        """Also tells where it is reached now, if that has changed, as with the worker's address."""
        self._seen_healthy(process)
        at, relay = self._machine.executor.listening(process.directory), self._machine.relay
        if at is None or not self._turn.ready:
            return
        if self._turn.at != ((at.host, at.port) if relay is None else relay.address()):
            await self._is_running(process, at, 0.0)

    def _seen_healthy(self, process: Process) -> None:
        now = self._machine.now()
        self._healthy = Stretch(self._healthy.since if self._healthy else now, now)
        with suppress(OSError):  # a full disk is no reason to end a watch
            self._machine.files.keep_healthy(process.directory, self._healthy)

    async def _ended(self, want: Want) -> None:
        directory = self._directory()
        await self._machine.executor.end_leftovers(directory)
        lines = self._machine.executor.last_lines(directory)
        failure = classify(self._machine.executor.status(directory), lines)
        if self._machine.files.was_shut_down(directory):
            failure = replace(failure, cause=FailureCause.WORKER_STOPPED, message="its worker was shut down")
        if want.group is not None and failure.cause in ECHOES:
            await asyncio.sleep(ECHO_S)
        await self._failed(failure)

    async def _failed(self, failure: Failure) -> None:
        directory = self._directory()
        self._part.let_go()
        self._machine.starts.leave(self._want.instance_id)
        # an agent that was away finds out late: what counts is when it was last seen healthy
        healthy = self._healthy or self._machine.files.healthy(directory)
        self._here, self._process, self._healthy = Here.ENDED, None, None
        self._close_way(directory)
        await self._tell.failed(failure, healthy)

    async def _stop(self) -> None:
        if self._process is not None and self._turn.ready:
            await drain(self._machine, self._process, self._want.name)
        await self._end(grace_s=self._machine.limits.stop_grace_s)
        self._here, self._process = Here.STOPPED, None

    async def _end(self, *, grace_s: float) -> None:
        if self._process is None:
            return
        executor, directory = self._machine.executor, self._process.directory
        pids = await asyncio.to_thread(executor.pids, directory)
        self._forced = await executor.stop(self._process, grace_s=grace_s)
        self._close_way(directory)
        await memory_is_back(self._machine, self._want.claim, pids, self._want.name)

    async def _say_stopped(self) -> None:
        self._part.let_go()
        self._machine.starts.leave(self._want.instance_id)
        await self._tell.stopped(forced=self._forced)
        self._machine.files.forget_want(self._want.instance_id)

    def _close_way(self, directory: Path) -> None:
        if self._machine.relay is not None:
            self._machine.relay.close(directory)

    # --- small things --------------------------------------------------------------------------------

    @property
    def _tell(self) -> Telling:
        return Telling(self._machine, self._want, self._attempt)

    def _directory(self) -> Path:
        return self._machine.files.attempt(self._want.instance_id, self._attempt)

    def _prune(self) -> None:
        self._machine.executor.prune(
            self._machine.files.root / str(self._want.instance_id), keep=self._machine.limits.runs_kept
        )
