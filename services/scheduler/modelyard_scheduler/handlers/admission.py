"""Admits what agents state: checked against what may happen, then kept as it is, under the agent's own id."""

from dataclasses import dataclass

import structlog
from modelyard_contracts.base import Event, Owner
from modelyard_contracts.envelope import Cause, UnknownEventType, parse_data
from modelyard_contracts.events import (
    InstanceDownloading,
    InstanceFailed,
    InstanceMemberPrepared,
    InstanceMemberStarted,
    InstanceMemoryMeasured,
    InstanceRunning,
    InstanceStarting,
    InstanceStopped,
    InstanceUnready,
    ModelFileDeleted,
    ModelFileDownloaded,
    ModelFileDownloading,
    ModelFileEvicted,
    ModelFileFailed,
    WorkerInventoryChanged,
    WorkerReady,
)
from modelyard_contracts.messages import Observation
from modelyard_eventlog.log import Write
from pydantic import ValidationError

from modelyard_scheduler.domain import instance, model_file, worker
from modelyard_scheduler.domain.instance import AgentFact
from modelyard_scheduler.domain.model_file import AgentFileFact
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.domain.worker import AgentWorkerFact
from modelyard_scheduler.handlers.deciding import Decider, Decision
from modelyard_scheduler.ports import Wants

logger = structlog.stdlib.get_logger()

INSTANCE_FACTS = (
    InstanceDownloading,
    InstanceStarting,
    InstanceRunning,
    InstanceUnready,
    InstanceMemberPrepared,
    InstanceMemberStarted,
    InstanceMemoryMeasured,
    InstanceFailed,
    InstanceStopped,
)
WORKER_FACTS = (WorkerReady, WorkerInventoryChanged)
FILE_FACTS = (
    ModelFileDownloading,
    ModelFileDownloaded,
    ModelFileFailed,
    ModelFileEvicted,
    ModelFileDeleted,
)
AgentEvent = AgentFact | AgentWorkerFact | AgentFileFact


@dataclass(frozen=True, slots=True)
class Admission:
    decider: Decider
    wants: Wants

    async def admit(self, observation: Observation) -> None:
        event = self._event(observation)
        if event is None:
            return
        if refusal(self.decider.picture, event) is not None:
            await self.decider.feed.catch_up()
        if not await self.decider.state(lambda: self._decision(observation, event)):
            why = refusal(self.decider.picture, event)
            logger.info("observation not admitted", id=observation.id, why=why)
            await self._settle_leftover(event)

    def _event(self, observation: Observation) -> AgentEvent | None:
        try:
            event: Event = parse_data(observation.event_type, observation.version, dict(observation.data))
        except (ValidationError, UnknownEventType) as error:
            logger.error("observation cannot be read", id=observation.id, error=str(error))
            return None
        known = (*INSTANCE_FACTS, *WORKER_FACTS, *FILE_FACTS)
        if event.owner is not Owner.WORKER_AGENT or not isinstance(event, known):
            logger.error("an agent may not state this", id=observation.id, type=observation.event_type)
            return None
        if event.worker_id != observation.worker_id:
            logger.error("a worker spoke for another", id=observation.id, worker=observation.worker_id)
            return None
        return event

    def _decision(self, observation: Observation, event: AgentEvent) -> Decision | None:
        picture = self.decider.picture
        if refusal(picture, event) is not None:
            return None
        if isinstance(event, INSTANCE_FACTS):
            state = picture.instances[event.instance_id]
            expected, causation_id = state.seq, state.last_event_id
        elif isinstance(event, FILE_FACTS):
            file = picture.model_files.get(event.file_id)
            expected, causation_id = file.seq if file else 0, observation.causation_id
        else:
            expected, causation_id = picture.workers[event.worker_id].seq, observation.causation_id
        cause = Cause(
            command_id=observation.id,
            actor=f"worker/{event.worker_id}",
            source=f"modelyard/worker-agent/{observation.worker_id}",
            time=observation.observed_at,
            correlation_id=observation.correlation_id,
            causation_id=causation_id,
            traceparent=observation.traceparent,
        )
        return Decision([Write(event, expected)], cause)

    async def _settle_leftover(self, event: AgentEvent) -> None:
        """A worker that came back has ended what was given up meanwhile: nothing is wanted of it any more."""
        if isinstance(event, InstanceStopped) and event.instance_id not in self.decider.picture.instances:
            self.decider.picture.ended(event.instance_id, event.worker_id)
            await self.wants.forget(event.worker_id, event.instance_id)


def refusal(picture: Picture, event: AgentEvent) -> str | None:
    if isinstance(event, INSTANCE_FACTS):
        return instance.admits(picture.instances.get(event.instance_id), event)
    if isinstance(event, FILE_FACTS):
        gone = worker.is_gone(picture.workers.get(event.worker_id), event.worker_id)
        return gone or model_file.admits(picture.model_files.get(event.file_id), event)
    return worker.admits(picture.workers.get(event.worker_id), event)
