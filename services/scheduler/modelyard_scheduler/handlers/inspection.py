"""Learns what the models are that instances wait for: each looked at once, side by side, none in the way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from modelyard_contracts import events
from modelyard_contracts.deployments import Reason, Source
from modelyard_contracts.events import InstanceUnschedulable, ModelInspected
from modelyard_contracts.models import ModelCoordinates, ModelFacts, coordinates_of
from modelyard_eventlog.log import Conflict, LogUnavailable, Write

from modelyard_scheduler.domain.instance import UNPLACED, InstanceState, Phase
from modelyard_scheduler.domain.restart import RestartPolicy, delay
from modelyard_scheduler.domain.worker import WorkerPhase
from modelyard_scheduler.handlers.deciding import SYSTEM, Decider, Decision, because
from modelyard_scheduler.ports import Models, NotInspected

logger = structlog.stdlib.get_logger()

POLICY = "inspect/1"
CHECK = "model_metadata"
AGAIN = RestartPolicy(base_s=5.0, max_s=300.0)


@dataclass(frozen=True, slots=True)
class Failure:
    streak: int
    again_at: datetime


async def _nothing() -> None:
    return None


@dataclass(slots=True)
class InspectionHandler:
    decider: Decider
    models: Models
    after: Callable[[], Awaitable[None]] = _nothing
    """What comes after a path was not found: placement goes on, and no fact tells of it."""
    running: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    """Of this process alone: another one tries at once."""

    def placeable(self, instance_ids: Iterable[int]) -> list[int]:
        """Those whose model is known; for the others it is looked at in the background, and `ModelInspected`
        or the instance's reasons tell of the end."""
        picture = self.decider.picture
        found: list[int] = []
        for ident in instance_ids:
            state = picture.instances.get(ident)
            if state is None or state.phase not in UNPLACED:
                continue
            coordinates = coordinates_of(state.spec)
            if picture.facts_of(state.spec) is not None or not self._begun(coordinates):
                found.append(ident)
        return found

    def _begun(self, coordinates: ModelCoordinates) -> bool:
        """Whether placement has to wait. Of a path that was not found each worker tells its own reason, so
        placement goes on."""
        model_id = coordinates.model_id()
        failure = self.failures.get(model_id)
        due = failure is None or failure.again_at <= self.decider.now()
        if due and model_id not in self.running:
            self.running[model_id] = asyncio.create_task(self._inspect(coordinates))
        return failure is None or coordinates.source is not Source.LOCAL_PATH

    async def _inspect(self, coordinates: ModelCoordinates) -> None:
        model_id = coordinates.model_id()
        try:
            await self._look_at(coordinates)
        except (LogUnavailable, Conflict) as error:
            logger.warning("a model will be looked at again", model=coordinates.location(), error=str(error))
        finally:
            del self.running[model_id]

    async def _look_at(self, coordinates: ModelCoordinates) -> None:
        workers = self.decider.picture.workers.values()
        try:
            facts = await self.models.inspect(
                coordinates, [w.worker_id for w in workers if w.phase is WorkerPhase.READY]
            )
        except NotInspected as error:
            self._note_failure(coordinates.model_id())
            logger.warning("a model is not known", model=coordinates.location(), error=str(error))
            await (
                self.after()
                if coordinates.source is Source.LOCAL_PATH
                else self._tell_waiting(coordinates, str(error))
            )
            return
        self.failures.pop(coordinates.model_id(), None)
        await self.decider.state(lambda: self._inspected(coordinates, facts))

    def _note_failure(self, model_id: str) -> None:
        before = self.failures.get(model_id)
        streak = before.streak + 1 if before else 1
        wait_s = delay(streak, AGAIN, jitter=0.5)
        self.failures[model_id] = Failure(streak, self.decider.now() + timedelta(seconds=wait_s))

    def _inspected(self, coordinates: ModelCoordinates, facts: ModelFacts) -> Decision | None:
        """None if another scheduler was faster."""
        model_id = coordinates.model_id()
        if model_id in self.decider.picture.models:
            return None
        command_id = f"inspect/{model_id}/{self.decider.picture.position}"
        cause = because(
            command_id,
            correlation_id=command_id,
            causation_id=command_id,
            actor=SYSTEM,
            time=self.decider.now(),
        )
        return Decision([Write(ModelInspected(coordinates=coordinates, facts=facts), 0)], cause)

    async def _tell_waiting(self, coordinates: ModelCoordinates, why: str) -> None:
        reason = Reason(check=CHECK, message=why)
        for state in self.decider.picture.unplaced():
            if coordinates_of(state.spec) == coordinates:
                ident = state.instance_id
                await self.decider.state(lambda ident=ident: self._unschedulable(ident, reason))  # type: ignore[misc]

    def _unschedulable(self, instance_id: int, reason: Reason) -> Decision | None:
        state = self.decider.picture.instances.get(instance_id)
        if state is None or state.phase not in UNPLACED or _was_told(state, reason):
            return None
        told = InstanceUnschedulable(
            instance_id=instance_id,
            deployment_id=state.deployment_id,
            message=f"The model cannot be inspected: {reason.message}",
            reasons=(reason,),
            decision=events.Decision(policy=POLICY, decided_at_seq=self.decider.picture.position),
        )
        return self.decider.about(state, "inspect", [Write(told, state.seq)])


def _was_told(state: InstanceState, reason: Reason) -> bool:
    return state.phase is Phase.UNSCHEDULABLE and state.reasons == (reason,)
