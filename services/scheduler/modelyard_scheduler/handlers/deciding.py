"""How the scheduler states what it decided: with the sequences it was decided on, or decide again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
AT_ONCE = 100
"""How many instances one batch is about; each takes two events, and a batch of the server up to 1,000."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Events to state, and the cause they share."""

    writes: Sequence[Write]
    cause: Cause


def because(
    command_id: str,
    *,
    correlation_id: str,
    causation_id: str,
    time: datetime,
    traceparent: str | None = None,
) -> Cause:
    return Cause(
        command_id=command_id,
        actor=SYSTEM,
        source=SOURCE,
        time=time,
        correlation_id=correlation_id,
        causation_id=causation_id,
        traceparent=traceparent,
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
        return Decision(writes, self._story(state, f"{what}/{state.instance_id}/{state.seq}"))

    def about_many(self, what: str, writes: Sequence[tuple[InstanceState, Write]]) -> Decision | None:
        """One decision about several instances, each write in the story of its own; None without any."""
        if not writes:
            return None
        first, last = writes[0][0], writes[-1][0]
        decision = self.about(first, what, [])
        if first.instance_id == last.instance_id:
            return Decision([write for _, write in writes], decision.cause)
        command_id = f"{decision.cause.command_id}-{last.instance_id}/{last.seq}x{len(writes)}"
        cause = replace(decision.cause, command_id=command_id)
        return Decision([replace(w, story=self._story(s, command_id)) for s, w in writes], cause)

    def _story(self, state: InstanceState, command_id: str) -> Cause:
        return because(
            command_id,
            correlation_id=state.correlation_id,
            causation_id=state.last_event_id,
            time=self.now(),
            traceparent=state.traceparent,
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
