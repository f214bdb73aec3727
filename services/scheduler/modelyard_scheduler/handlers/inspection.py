"""Learns what the models are that instances wait for: each looked at once, side by side, none in the way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from modelyard_contracts import events
from modelyard_contracts.companions import companions_of
from modelyard_contracts.deployments import DeploymentSpec, Reason, Source
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
    why: str
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
        """Those whose models are known, adapters and draft models too; the others' are looked at in the
        background, and `ModelInspected` or the instance's reasons tell of the end."""
        picture = self.decider.picture
        found: list[int] = []
        for ident in instance_ids:
            state = picture.instances.get(ident)
            if state is None or state.phase not in UNPLACED:
                continue
            unknown = [at for _, at in _models(state.spec) if picture.facts_at(at) is None]
            for coordinates in unknown:
                self._begin(coordinates)
            if all(self._is_left_to_workers(state.spec, coordinates) for coordinates in unknown):
                found.append(ident)
        return found

    def _is_left_to_workers(self, spec: DeploymentSpec, coordinates: ModelCoordinates) -> bool:
        """Of an own path that was not found each worker tells its own reason, so placement goes on."""
        return coordinates.model_id() in self.failures and _is_own_path(spec, coordinates)

    def _begin(self, coordinates: ModelCoordinates) -> None:
        model_id = coordinates.model_id()
        failure = self.failures.get(model_id)
        due = failure is None or failure.again_at <= self.decider.now()
        if due and model_id not in self.running:
            self.running[model_id] = asyncio.create_task(self._inspect(coordinates))

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
            self._note_failure(coordinates.model_id(), str(error))
            logger.warning("a model is not known", model=coordinates.location(), error=str(error))
            await self._tell_waiting(coordinates)
            if coordinates.source is Source.LOCAL_PATH:
                await self.after()
            return
        self.failures.pop(coordinates.model_id(), None)
        await self.decider.state(lambda: self._inspected(coordinates, facts))

    def _note_failure(self, model_id: str, why: str) -> None:
        before = self.failures.get(model_id)
        streak = before.streak + 1 if before else 1
        wait_s = delay(streak, AGAIN, jitter=0.5)
        self.failures[model_id] = Failure(why, streak, self.decider.now() + timedelta(seconds=wait_s))

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

    async def _tell_waiting(self, coordinates: ModelCoordinates) -> None:
        for state in self.decider.picture.unplaced():
            if any(at == coordinates for _, at in _models(state.spec)):
                ident = state.instance_id
                await self.decider.state(lambda ident=ident: self._unschedulable(ident))  # type: ignore[misc]

    def _reasons(self, spec: DeploymentSpec) -> tuple[Reason, ...]:
        """Why its models are not known, each with the field that names it."""
        unknown = [
            (field, self.failures.get(at.model_id()))
            for field, at in _models(spec)
            if self.decider.picture.facts_at(at) is None and not _is_own_path(spec, at)
        ]
        return tuple(
            Reason(check=CHECK, message=f"{field}: {failure.why}" if field else failure.why)
            for field, failure in unknown
            if failure is not None
        )

    def _unschedulable(self, instance_id: int) -> Decision | None:
        state = self.decider.picture.instances.get(instance_id)
        if state is None or state.phase not in UNPLACED:
            return None
        reasons = self._reasons(state.spec)
        if not reasons or _was_told(state, reasons):
            return None
        told = InstanceUnschedulable(
            instance_id=instance_id,
            deployment_id=state.deployment_id,
            message=f"The model cannot be inspected: {'; '.join(reason.message for reason in reasons)}",
            reasons=reasons,
            decision=events.Decision(policy=POLICY, decided_at_seq=self.decider.picture.position),
        )
        return self.decider.about(state, "inspect", [Write(told, state.seq)])


def _was_told(state: InstanceState, reasons: tuple[Reason, ...]) -> bool:
    return state.phase is Phase.UNSCHEDULABLE and state.reasons == reasons


def _models(spec: DeploymentSpec) -> list[tuple[str, ModelCoordinates]]:
    """Its own, and its companions with the fields that name them."""
    return [("", coordinates_of(spec)), *companions_of(spec)]


def _is_own_path(spec: DeploymentSpec, coordinates: ModelCoordinates) -> bool:
    return coordinates.source is Source.LOCAL_PATH and coordinates == coordinates_of(spec)
