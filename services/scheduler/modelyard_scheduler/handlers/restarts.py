"""Starts failed instances again, each when its time has come, or gives them up."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from modelyard_contracts.events import InstanceGivenUp, InstanceRestartScheduled
from modelyard_eventlog.log import Write

from modelyard_scheduler.domain.instance import InstanceState, Phase
from modelyard_scheduler.domain.restart import Restart, RestartPolicy, next_restart, stays_failed
from modelyard_scheduler.handlers.deciding import Decider, Decision, because
from modelyard_scheduler.handlers.wants import WantsHandler
from modelyard_scheduler.ports import Alarm


@dataclass(frozen=True, slots=True)
class RestartHandler:
    decider: Decider
    wants: WantsHandler
    timers: Alarm
    policy: RestartPolicy
    jitter: Callable[[], float] = random.random

    async def restart(self, instance_id: int) -> None:
        """Schedules the restart that a failed instance is due, or says that there will be none."""
        jitter = self.jitter()

        def decide() -> Decision | None:
            state = self.decider.picture.instances.get(instance_id)
            if state is None or state.deletion_requested:
                return None
            if stays_failed(state):
                return self._given_up(state)
            due = next_restart(state, self.decider.now(), self.policy, jitter=jitter)
            return self._restart(state, due) if due else None

        if await self.decider.state(decide):
            await self.wake(instance_id)

    def _given_up(self, state: InstanceState) -> Decision | None:
        if state.given_up or state.failure is None:
            return None
        given_up = InstanceGivenUp(
            instance_id=state.instance_id,
            deployment_id=state.deployment_id,
            cause=state.failure,
            failures=state.streak + 1,
        )
        return self.decider.about(state, "give-up", [Write(given_up, state.seq)])

    def _restart(self, state: InstanceState, due: Restart) -> Decision:
        restart = InstanceRestartScheduled(
            instance_id=state.instance_id,
            deployment_id=state.deployment_id,
            attempt=due.attempt,
            streak=due.streak,
            delay_s=due.delay_s,
            restart_at=due.restart_at,
        )
        cause = because(
            f"restart/{state.instance_id}/{due.attempt}",
            correlation_id=state.correlation_id,
            causation_id=state.last_event_id,
            time=self.decider.now(),
            traceparent=state.traceparent,
        )
        return Decision([Write(restart, state.seq)], cause)

    async def wake(self, instance_id: int) -> None:
        """Tells the worker of a restart that is due, or sets the timer for it."""
        state = self.decider.picture.instances.get(instance_id)
        if state is None or state.phase is not Phase.BACKING_OFF or state.restart_at is None:
            return
        if state.restart_at <= self.decider.now():
            await self.wants.tell([instance_id])
        else:
            await self.timers.set(f"restart.{instance_id}.{state.attempt}", state.restart_at)

    async def start_again(self, instance_id: int, *, attempt: int) -> None:
        """The timer of this attempt has fired: the server's clock says it is time, whatever ours says."""
        state = self.decider.picture.instances.get(instance_id)
        if state is None or state.phase is not Phase.BACKING_OFF or state.attempt != attempt:
            return
        await self.wants.tell(
            [instance_id], at=max(self.decider.now(), state.restart_at or self.decider.now())
        )
