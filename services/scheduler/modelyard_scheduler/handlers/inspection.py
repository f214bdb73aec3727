"""Learns what the models are that instances wait for: each looked at once, side by side, none in the way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from modelyard_contracts.deployments import HUB_TOKEN_VARIABLES, Source
from modelyard_contracts.events import ModelInspected
from modelyard_contracts.models import ModelCoordinates, ModelFacts
from modelyard_eventlog.log import Conflict, LogUnavailable, Write

from modelyard_scheduler.domain.instance import UNPLACED, InstanceState
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.restart import RestartPolicy, delay
from modelyard_scheduler.domain.uninspected import is_own_path, models_of, uninspected
from modelyard_scheduler.domain.worker import WorkerPhase
from modelyard_scheduler.handlers.deciding import Decider, Decision, because
from modelyard_scheduler.ports import Models, NotInspected

logger = structlog.stdlib.get_logger()

AGAIN = RestartPolicy(base_s=5.0, max_s=300.0)


@dataclass(frozen=True, slots=True)
class Look:
    """A model, and as whom it is looked at: what one may read is not another's."""

    coordinates: ModelCoordinates
    sealed_token: str | None = field(repr=False)


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
    running: dict[Look, "asyncio.Task[None]"] = field(default_factory=dict)
    failures: dict[Look, Failure] = field(default_factory=dict)
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
            unknown = [
                (field, look)
                for field, look in _looks(picture, state)
                if picture.facts_at(look.coordinates) is None
            ]
            for _, look in unknown:
                self._begin(look)
            if all(self._is_left_to_workers(field, look) for field, look in unknown):
                found.append(ident)
        return found

    def _is_left_to_workers(self, field: str, look: Look) -> bool:
        """Of an own path that was not found each worker tells its own reason, so placement goes on."""
        return look in self.failures and is_own_path(field, look.coordinates)

    def _begin(self, look: Look) -> None:
        failure = self.failures.get(look)
        due = failure is None or failure.again_at <= self.decider.now()
        if due and look not in self.running:
            self.running[look] = asyncio.create_task(self._inspect(look))

    async def _inspect(self, look: Look) -> None:
        try:
            await self._look_at(look)
        except (LogUnavailable, Conflict) as error:
            model = look.coordinates.location()
            logger.warning("a model will be looked at again", model=model, error=str(error))
        finally:
            del self.running[look]

    async def _look_at(self, look: Look) -> None:
        coordinates = look.coordinates
        workers = self.decider.picture.workers.values()
        try:
            facts = await self.models.inspect(
                coordinates,
                look.sealed_token,
                [w.worker_id for w in workers if w.phase is WorkerPhase.READY],
            )
        except NotInspected as error:
            self._note_failure(look, str(error))
            logger.warning("a model is not known", model=coordinates.location(), error=str(error))
            await self._tell_waiting(look)
            if coordinates.source is Source.LOCAL_PATH:
                await self.after()
            return
        self.failures.pop(look, None)
        await self.decider.state(lambda: self._inspected(coordinates, facts))

    def _note_failure(self, look: Look, why: str) -> None:
        before = self.failures.get(look)
        streak = before.streak + 1 if before else 1
        wait_s = delay(streak, AGAIN, jitter=0.5)
        self.failures[look] = Failure(why, streak, self.decider.now() + timedelta(seconds=wait_s))

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
            time=self.decider.now(),
        )
        return Decision([Write(ModelInspected(coordinates=coordinates, facts=facts), 0)], cause)

    async def _tell_waiting(self, look: Look) -> None:
        for state in self.decider.picture.unplaced():
            if any(other == look for _, other in _looks(self.decider.picture, state)):
                ident = state.instance_id
                await self.decider.state(lambda ident=ident: self._unschedulable(ident))  # type: ignore[misc]

    def _unschedulable(self, instance_id: int) -> Decision | None:
        picture = self.decider.picture
        state = picture.instances.get(instance_id)
        if state is None:
            return None
        failures = [(field, self.failures.get(look)) for field, look in _looks(picture, state)]
        said = {field: failure.why for field, failure in failures if failure is not None}
        told = uninspected(picture, state, said, picture.position)
        return self.decider.about(state, "inspect", [Write(told, state.seq)]) if told else None


def _looks(picture: Picture, state: InstanceState) -> list[tuple[str, Look]]:
    env = state.spec.env
    return [
        (field, Look(at, env.get(HUB_TOKEN_VARIABLES.get(at.source, ""))))
        for field, at in models_of(picture, state)
    ]
