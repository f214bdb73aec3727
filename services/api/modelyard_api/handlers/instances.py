"""Carries out what is asked of a single instance."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard_contracts.base import Aggregate
from modelyard_contracts.events import (
    InstanceDeletionRequested,
    InstanceRemoved,
    InstanceStopping,
)
from modelyard_eventlog.log import EventLog, Write
from modelyard_runtime.clock import Now

from modelyard_api.domain.errors import not_found
from modelyard_api.handlers.commanding import Commander, Done, carry_out, load


@dataclass(frozen=True, slots=True)
class InstanceHandler:
    log: EventLog
    now: Now

    async def delete(self, ident: int, by: Commander) -> Done:
        """Says that this instance shall go; the scheduler stops it and replaces it if replicas demand."""

        async def decide() -> Sequence[Write] | Done:
            events = await load(self.log, Aggregate.INSTANCE, ident)
            if not events or isinstance(events[-1].data, InstanceRemoved):
                raise not_found(f"model instance {ident}")
            asked = (InstanceDeletionRequested, InstanceStopping)
            if any(isinstance(event.data, asked) for event in events):
                return Done(ident=ident, seq=events[-1].seq)
            wish = InstanceDeletionRequested(instance_id=ident, deployment_id=events[0].data.deployment_id)
            return [Write(wish, events[-1].seq)]

        return await carry_out(self.log, decide, lambda: ident, by, self.now)
