"""How the scheduler states what it decided: with the sequences it was decided on, or decide again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from modelyard_contracts.envelope import Cause
from modelyard_eventlog.log import Conflict, EventLog, Write
from modelyard_runtime.clock import Now

from modelyard_scheduler.domain.instance import InstanceState
from modelyard_scheduler.domain.picture import Picture
from modelyard_scheduler.projections.feed import PictureFeed

logger = structlog.stdlib.get_logger()

SOURCE = "modelyard/scheduler"
SYSTEM = "system/scheduler"
TRIES = 20


@dataclass(frozen=True, slots=True)
class Decision:
    """Events to state, and the cause they share."""

    writes: Sequence[Write]
    cause: Cause


def because(command_id: str, *, correlation_id: str, causation_id: str, actor: str, time: datetime) -> Cause:
    return Cause(
        command_id=command_id,
        actor=actor,
        source=SOURCE,
        time=time,
        correlation_id=correlation_id,
        causation_id=causation_id,
    )


@dataclass(frozen=True, slots=True)
class Decider:
    log: EventLog
    feed: PictureFeed
    now: Now

    @property
    def picture(self) -> Picture:
        return self.feed.picture

    def about(self, state: InstanceState, what: str, writes: Sequence[Write]) -> Decision:
        """A decision in the instance's story; the same one on the same state is the same command."""
        return Decision(
            writes,
            because(
                f"{what}/{state.instance_id}/{state.seq}",
                correlation_id=state.correlation_id,
                causation_id=state.last_event_id,
                actor=state.actor,
                time=self.now(),
            ),
        )

    async def state(self, decide: Callable[[], Decision | None]) -> bool:
        """Appends what `decide` says, and waits until it is in the picture; None means nothing to say.

        After a conflict the picture catches up and `decide` is asked again. Raises `LogUnavailable`, and
        `Conflict` if others are always faster.
        """
        for left in reversed(range(TRIES)):
            decision = decide()
            if decision is None:
                return False
            try:
                appended = await self.log.append(decision.writes, decision.cause)
            except Conflict:
                if not left:
                    raise
                await self.feed.catch_up()
                continue
            await self.feed.wait_for(appended.seq)
            return True
        return False
