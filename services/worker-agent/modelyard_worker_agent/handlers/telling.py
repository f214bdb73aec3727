"""States what happens to an instance on this machine. Said again by a later agent, it is the same fact."""

from dataclasses import dataclass

import structlog
from modelyard_contracts.base import Event
from modelyard_contracts.events import (
    InstanceDownloading,
    InstanceFailed,
    InstanceMemberStarted,
    InstanceRunning,
    InstanceStarting,
    InstanceStopped,
    InstanceUnready,
)
from modelyard_contracts.messages import Want

from modelyard_worker_agent.adapters.run_files import Stretch, Turn
from modelyard_worker_agent.domain.failures import Failure
from modelyard_worker_agent.handlers.group_part import named
from modelyard_worker_agent.handlers.machine import Machine
from modelyard_worker_agent.ports import Listening, Process, Way

logger = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Telling:
    """Of one start of one instance."""

    machine: Machine
    want: Want
    attempt: int

    async def downloading(self) -> None:
        if not is_subordinate(self.want):
            await self.say(InstanceDownloading(**self._who(), source=self.want.spec.location()))

    async def started(self, process: Process) -> None:
        launched = self.machine.files.launched(process.directory)
        if launched is None:
            return
        fact: Event
        if is_subordinate(self.want):
            fact = InstanceMemberStarted(
                **self._who(), pid=process.pid, command=launched.command, image=launched.image
            )
        else:
            fact = InstanceStarting(
                **self._who(),
                pid=process.pid,
                command=launched.command,
                backend=launched.backend,
                backend_version=launched.version,
                injected=launched.injected,
                image=launched.image,
            )
        await self.say(fact)
        self.machine.files.mark_told(process.directory)

    async def running(self, process: Process, at: Listening, seconds: float, number: int) -> Turn:
        """`number`: which time it is that this server is said to run."""
        relay = self.machine.relay
        way = Way(at.host, at.port) if relay is None else relay.open(process.directory, at)
        await self.say(
            InstanceRunning(
                **self._who(),
                host=way.host,
                port=way.port,
                relay_token=way.token,
                pid=process.pid,
                backend_version=at.version,
                startup_s=round(seconds, 3),
            ),
            turn=number,
        )
        return Turn(number, ready=True, at=(way.host, way.port))

    async def unready(self, why: str, number: int) -> None:
        await self.say(InstanceUnready(**self._who(), message=why), turn=number)

    async def failed(self, failure: Failure, healthy: Stretch | None) -> None:
        directory = self.machine.files.attempt(self.want.instance_id, self.attempt)
        if self.want.group is not None:
            failure = named(self.want.group, failure)
        await self.say(
            InstanceFailed(
                **self._who(),
                cause=failure.cause,
                message=failure.message,
                exit_code=failure.exit_code,
                signal=failure.signal,
                last_lines=self.machine.executor.last_lines(directory),
                healthy_s=round(healthy.seconds, 3) if healthy else 0.0,
            )
        )
        self.machine.files.mark_failed(directory)
        logger.warning(
            "model server failed", instance=self.want.name, cause=failure.cause, why=failure.message
        )

    async def stopped(self, *, forced: bool) -> None:
        directory = self.machine.files.attempt(self.want.instance_id, self.attempt)
        status = self.machine.executor.status(directory) if self.attempt >= 0 else None
        who = {**self._who(), "attempt": max(self.attempt, 0)}
        await self.say(InstanceStopped(**who, exit_code=status, forced=forced))

    async def say(self, event: Event, *, turn: int = 1) -> None:
        """`turn`: which time it is that a server runs, or does not, of one start."""
        again = f"/{turn}" if turn > 1 else ""
        who = f"{self.machine.worker_id}/{self.want.instance_id}/{self.attempt}"
        ident = f"obs/{who}/{type(event).__name__}{again}"
        await self.machine.reports.say(event, of=self.want, ident=ident)

    def _who(self) -> dict[str, int]:
        return {
            "instance_id": self.want.instance_id,
            "deployment_id": self.want.deployment_id,
            "worker_id": self.machine.worker_id,
            "attempt": self.attempt,
        }


def is_subordinate(want: Want) -> bool:
    """Whether only a part of the instance is here, and not the one that serves."""
    return want.group is not None and want.group.rank > 0
